//! A runner that moves bytes and time, and computes nothing.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{bail, Context, Result};
use async_trait::async_trait;
use posemesh_compute_node_runner_api::{ControlPlane, Runner, TaskCtx};
use serde_json::json;
use tokio::io::AsyncWriteExt;

const CAPABILITY: &str = "/noop/v1";
const ARTIFACT: &str = "noop.bin";
const SLEEP_VARIABLE: &str = "NOOP_SLEEP_SECS";
/// How long a canceled task may sleep on.
const CANCEL_CHECK: Duration = Duration::from_millis(100);

/// Reads the sleep and removes the variable: the node itself parses it as an
/// integer and would refuse a fraction. Call it while the process has one thread.
pub fn take_sleep_from_env() -> Result<Duration> {
    let Some(raw) = std::env::var_os(SLEEP_VARIABLE) else {
        return Ok(Duration::ZERO);
    };
    std::env::remove_var(SLEEP_VARIABLE);
    let text = raw.to_string_lossy();
    if text.trim().is_empty() {
        return Ok(Duration::ZERO);
    }
    text.trim()
        .parse::<f64>()
        .ok()
        .and_then(|secs| Duration::try_from_secs_f64(secs).ok())
        .with_context(|| format!("{SLEEP_VARIABLE}: not a number of seconds: {text}"))
}

pub struct Noop {
    sleep: Duration,
}

impl Noop {
    pub fn new(sleep: Duration) -> Self {
        Self { sleep }
    }
}

#[async_trait]
impl Runner for Noop {
    fn capability(&self) -> &'static str {
        CAPABILITY
    }

    async fn run(&self, ctx: TaskCtx<'_>) -> Result<()> {
        let task = &ctx.lease.task;
        let inputs = task.inputs_cids.len();
        for cid in &task.inputs_cids {
            let input = ctx
                .input
                .materialize_cid_with_meta(cid)
                .await
                .with_context(|| format!("fetch input {cid}"))?;
            // The node never deletes what it downloaded; a long measurement would fill the disk.
            drop(ScratchPath(input.root_dir));
        }

        ctx.ctrl
            .progress(json!({ "stage": "inputs", "inputs": inputs }))
            .await?;

        sleep_unless_cancelled(self.sleep, ctx.ctrl).await?;

        if let Some(size) = task.meta.get("output_bytes").and_then(|v| v.as_u64()) {
            if size == 0 {
                // The node sends files in parts only, and no file has no part.
                ctx.output.put_bytes(ARTIFACT, &[]).await?;
            } else {
                let file = write_artifact(&task.id.to_string(), size).await?;
                ctx.output.put_file(ARTIFACT, &file.0).await?;
            }
        }
        Ok(())
    }
}

async fn sleep_unless_cancelled(total: Duration, ctrl: &dyn ControlPlane) -> Result<()> {
    let start = Instant::now();
    loop {
        if ctrl.is_cancelled().await {
            bail!("cancelled");
        }
        let left = total.saturating_sub(start.elapsed());
        if left.is_zero() {
            return Ok(());
        }
        tokio::time::sleep(left.min(CANCEL_CHECK)).await;
    }
}

async fn write_artifact(task_id: &str, size: u64) -> Result<ScratchPath> {
    let path = std::env::temp_dir().join(format!("noop-{}-{task_id}", std::process::id()));
    let mut file = tokio::fs::File::create(&path)
        .await
        .with_context(|| format!("create {}", path.display()))?;
    let guard = ScratchPath(path);

    // 251 is prime: the pattern does not line up with any power-of-two block.
    let block: Vec<u8> = (0..=250u8).cycle().take(251 * 4096).collect();
    let mut left = size;
    while left > 0 {
        let n = left.min(block.len() as u64) as usize;
        file.write_all(&block[..n]).await?;
        left -= n as u64;
    }
    file.flush().await?;
    Ok(guard)
}

/// A file or folder that is deleted with this value.
struct ScratchPath(PathBuf);

impl Drop for ScratchPath {
    fn drop(&mut self) {
        let _ = if self.0.is_dir() {
            std::fs::remove_dir_all(&self.0)
        } else {
            std::fs::remove_file(&self.0)
        };
    }
}
