//! The public network's node, unchanged, with one runner of ours: `/noop/v1`.

mod noop;

use anyhow::{Context, Result};
use posemesh_compute_node::{
    config::NodeConfig, dds::register::spawn_registration_if_configured, engine, telemetry,
};

fn main() -> Result<()> {
    // Before the node reads the environment: it knows this name too, but only whole seconds.
    let nap = noop::take_sleep_from_env()?;

    telemetry::init_from_env()?;
    let config = NodeConfig::from_env()?;
    let runners = engine::RunnerRegistry::new().register(noop::Noop::new(nap));

    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start the runtime")?
        .block_on(async {
            spawn_registration_if_configured(&config, &runners.capabilities())?;
            engine::run_node(config, runners).await
        })
}
