#include "bin/node_host.hpp"

#include "base/awaitable.hpp"
#include "base/log.hpp"
#include "base/offload.hpp"
#include "base/result.hpp"
#include "base/rng.hpp"
#include "base/system_clock.hpp"
#include "base/system_rng.hpp"
#include "base/time.hpp"
#include "bin/loop_thread.hpp"
#include "bin/runner_set.hpp"
#include "bin/version.hpp"
#include "http/client.hpp"
#include "node/config.hpp"
#include "node/engine.hpp"
#include "node/node.hpp"
#include "node/supervisor.hpp"
#include "runners/process.hpp"
#include "runners/registry.hpp"

#include <algorithm>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <unistd.h>

namespace pn::bin {
namespace {

/// Connections to one server beyond a heartbeat a slot, and beyond a task's parts and inputs.
constexpr std::size_t kControlCalls = 16;
constexpr std::size_t kSmallCalls = 4;

}  // namespace

node::Host this_host() {
  SystemRng rng;
  node::Host host;
  host.root = ::geteuid() == 0;
  host.cores = std::max(1U, std::thread::hardware_concurrency());
  host.build_version = kVersion;
  host.uuid = make_uuid(rng);
  return host;
}

struct NodeHost::Impl {
  explicit Impl(std::size_t cores)
      : transfer("transfer"),
        compute("compute", cores),
        io("io", std::min<std::size_t>(cores, 4)) {}
  ~Impl() {
    transfer.stop();  // first: what lives on it goes after it stands still
  }

  SystemClock clock;
  SystemRng rng;
  LoopThread transfer;
  ThreadPool compute;
  ThreadPool io;
  std::unique_ptr<http::HttpClient> control_http;
  std::unique_ptr<http::HttpClient> transfer_http;
  std::unique_ptr<runners::ProcessLauncher> launcher;
  runners::Registry registry;
  std::optional<node::Node> node;
};

NodeHost::NodeHost(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
NodeHost::~NodeHost() = default;

Result<std::unique_ptr<NodeHost>> NodeHost::build(Executor control,
                                                  node::Config config,
                                                  const std::vector<RunnerState>& runners,
                                                  log::Logger logger,
                                                  node::Supervisor* supervisor,
                                                  node::RunMode mode,
                                                  std::function<void(const node::Stuck&)> stuck) {
  auto impl = std::make_unique<Impl>(std::max(1U, std::thread::hardware_concurrency()));
  // Of libcurl's own limit a task would wait behind another's parts, with its time-out running.
  http::ClientOptions options = node::client_options(config);
  options.max_connections_per_host = config.max_concurrency + kControlCalls;
  auto control_http = http::make_http_client(control, options);
  if (!control_http) return std::move(control_http).error();
  const std::size_t parallel = std::max(config.upload_parallel, config.download_parallel);
  options.max_connections_per_host = config.max_concurrency * (parallel + kSmallCalls);
  auto transfer_http = http::make_http_client(impl->transfer.executor(), options);
  if (!transfer_http) return std::move(transfer_http).error();
  impl->control_http = std::move(*control_http);
  impl->transfer_http = std::move(*transfer_http);
  impl->launcher = runners::make_process_launcher(impl->transfer.executor(), impl->clock);
  register_runners(runners, config, *impl->launcher, impl->registry);
  node::NodeParts parts{
      .control = control,
      .transfer = impl->transfer.executor(),
      .compute = impl->compute,
      .io = impl->io,
      .clock = impl->clock,
      .rng = impl->rng,
      .control_http = *impl->control_http,
      .transfer_http = *impl->transfer_http,
      .registry = impl->registry,
      .logger = std::move(logger),
      .supervisor = supervisor,
      .runners_end_by = [launcher = impl->launcher.get()](SteadyTime at) { launcher->stop_by(at); },
      .stuck = std::move(stuck)};
  impl->node.emplace(std::move(parts), std::move(config), mode);
  impl->transfer.start();
  return std::unique_ptr<NodeHost>(new NodeHost(std::move(impl)));
}

Awaitable<Result<void>> NodeHost::run() { return impl_->node->run(); }
void NodeHost::request_stop() { impl_->node->request_stop(); }
void NodeHost::cancel_tasks() { impl_->node->cancel_tasks(); }
node::RunEnd NodeHost::end() const { return impl_->node->end(); }

}  // namespace pn::bin
