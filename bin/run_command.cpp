#include "base/awaitable.hpp"
#include "base/log.hpp"
#include "base/result.hpp"
#include "bin/commands.hpp"
#include "bin/exit_codes.hpp"
#include "bin/log_setup.hpp"
#include "bin/node_host.hpp"
#include "bin/private_process.hpp"
#include "bin/runner_set.hpp"
#include "bin/stop_signals.hpp"
#include "bin/systemd_notify.hpp"
#include "bin/terminal.hpp"
#include "node/config.hpp"
#include "node/supervisor.hpp"

#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <unistd.h>

namespace pn::bin {
namespace {

Awaitable<void> run_node(NodeHost& host, std::optional<Error>& refused) {
  Result<void> ended = co_await host.run();
  if (!ended.ok()) refused = std::move(ended).error();
}

}  // namespace

int run_command(Invocation invocation) {
  keep_memory_private();
  if (!load_environment(invocation)) return kExitConfiguration;
  node::ParsedConfig parsed = node::parse_config(invocation.environment, this_host());
  if (!parsed.faults.empty()) {
    for (const std::string& fault : parsed.faults) complain(fault);
    return kExitConfiguration;
  }
  node::Config& config = parsed.config;
  const log::Logger logger({.level = config.log_level, .format = config.log_format},
                           log::stderr_sink());
  const std::vector<RunnerState> runners = runner_states(config, search_path(invocation));
  for (const RunnerState& state : runners) {
    if (state.ready) continue;
    logger.warn("runner.unavailable",
                {{"capability", state.capability}, {"reason", state.missing}});
  }

  const std::unique_ptr<node::Supervisor> supervisor = systemd_supervisor(invocation.environment);
  asio::io_context control(1);
  Result<std::unique_ptr<NodeHost>> host =
      NodeHost::build(control.get_executor(), std::move(config), runners, logger, supervisor.get());
  if (!host) return failed(host.error());
  StopSignals signals(control, [&](int count) {
    if (count == 1) (*host)->request_stop();
    if (count == 2) (*host)->cancel_tasks();
    if (count >= 3) ::_exit(kExitForced);
  });
  std::optional<Error> refused;
  std::exception_ptr failure;
  asio::co_spawn(control, run_node(**host, refused), [&](const std::exception_ptr& thrown) {
    failure = thrown;
    signals.stop();
  });
  control.run();
  if (failure) std::rethrow_exception(failure);
  return refused ? failed(*refused) : kExitOk;
}

}  // namespace pn::bin
