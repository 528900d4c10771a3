#include "base/awaitable.hpp"
#include "base/log.hpp"
#include "base/result.hpp"
#include "bin/commands.hpp"
#include "bin/exit_codes.hpp"
#include "bin/log_setup.hpp"
#include "bin/node_host.hpp"
#include "bin/private_process.hpp"
#include "bin/redaction.hpp"
#include "bin/run_check.hpp"
#include "bin/runner_set.hpp"
#include "bin/secret_sources.hpp"
#include "bin/stop_signals.hpp"
#include "bin/systemd_notify.hpp"
#include "bin/tear_down.hpp"
#include "bin/terminal.hpp"
#include "node/config.hpp"
#include "node/engine.hpp"
#include "node/node.hpp"
#include "node/supervisor.hpp"

#include <chrono>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

namespace pn::bin {
namespace {

Awaitable<void> run_node(NodeHost& host, std::optional<Error>& refused) {
  Result<void> ended = co_await host.run();
  if (!ended.ok()) refused = std::move(ended).error();
}

struct Outcome {
  int code = kExitInternal;
  const char* says = "";  ///< of `--once`
};

Outcome outcome_of(node::RunEnd end) {
  switch (end) {
    case node::RunEnd::drained:
    case node::RunEnd::completed:
      return {.code = kExitOk};
    case node::RunEnd::nothing:
      return {.code = kExitNotThere, .says = "there is no work that this node could take now"};
    case node::RunEnd::failed:
      return {.code = kExitJobFailed, .says = "the task failed; the log above says why"};
    case node::RunEnd::canceled:
      return {.code = kExitJobCanceled, .says = "the task's job was canceled"};
    case node::RunEnd::lost:
      return {.code = kExitTemporary,
              .says = "the lease was lost before the task had ended; another node has it"};
    case node::RunEnd::unreachable:
      return {.code = kExitTemporary,
              .says = "the marketplace cannot be reached; the log above says why"};
    case node::RunEnd::refused:
      return {.code = kExitSignIn,
              .says = "sign-in is refused; check REG_SECRET and SECP256K1_PRIVHEX"};
  }
  return {};
}

int said(const Outcome& outcome) {
  if (*outcome.says != '\0') complain(outcome.says);
  return outcome.code;
}

/// For a disk that answers, closing files is a matter of milliseconds.
constexpr std::chrono::seconds kClosing{5};

/// A node that cannot end: what it did stays done, and nobody waits for it.
[[noreturn]] void leave_stuck(const log::Logger& logger, int code, const node::Stuck& stuck) {
  leave(code, [&] {
    logger.error(
        "node.stuck",
        {{"waits_for", stuck.waits_for}, {"outcomes_kept", stuck.kept}, {"exit_code", code}});
  });
}

/// None where the configuration cannot be used.
std::vector<RunnerState> runners_of(const node::ParsedConfig& parsed, const std::string& path) {
  if (!parsed.faults.empty()) return {};
  return runner_states(parsed.config, path);
}

}  // namespace

int run_command(Invocation invocation, RunMode mode) {
  keep_memory_private();
  if (!load_environment(invocation)) return kExitConfiguration;
  node::ParsedConfig parsed = node::parse_config(invocation.environment, this_host());
  remember_secrets(parsed.config);
  if (mode == RunMode::check) {
    return run_check(invocation, parsed, runners_of(parsed, search_path(invocation)));
  }
  if (!parsed.faults.empty()) {
    for (const std::string& fault : parsed.faults) complain(fault);
    return kExitConfiguration;
  }
  node::Config& config = parsed.config;
  const log::Logger logger(
      {.level = config.log_level, .format = config.log_format}, log::stderr_sink(), redactor());
  for (const std::string& doubt : secret_doubts(invocation, parsed)) {
    logger.warn("secret.exposed", {{"reason", doubt}});
  }
  const std::vector<RunnerState> runners = runner_states(config, search_path(invocation));
  for (const RunnerState& state : runners) {
    if (state.ready) continue;
    logger.warn("runner.unavailable",
                {{"capability", state.capability}, {"reason", state.missing}});
  }

  const std::unique_ptr<node::Supervisor> supervisor = systemd_supervisor(invocation.environment);
  asio::io_context control(1);
  Result<std::unique_ptr<NodeHost>> host = std::unique_ptr<NodeHost>();
  const auto stuck = [&](const node::Stuck& how) {
    const int code = how.kept ? outcome_of((*host)->end()).code : kExitTemporary;
    leave_stuck(logger, code, how);
  };
  host = NodeHost::build(control.get_executor(),
                         std::move(config),
                         runners,
                         logger,
                         supervisor.get(),
                         mode == RunMode::once ? node::RunMode::once : node::RunMode::serve,
                         stuck);
  if (!host) return failed(host.error());
  StopSignals signals(control, 3, [&](int count) {
    if (count == 1) (*host)->request_stop();
    if (count == 2) (*host)->cancel_tasks();
  });
  std::optional<Error> refused;
  std::exception_ptr failure;
  asio::co_spawn(control, run_node(**host, refused), [&](const std::exception_ptr& thrown) {
    failure = thrown;
    signals.stop();
  });
  control.run();
  if (failure) std::rethrow_exception(failure);
  const int code = refused ? failed(*refused) : said(outcome_of((*host)->end()));
  // Here, while a late signal is still counted, and does not end us with its own code.
  const TearDownLimit limit(kClosing, code, [&logger, code] {
    leave_stuck(logger, code, {.kept = true, .waits_for = "the files of STATE_DIR to be closed"});
  });
  host->reset();
  return code;
}

}  // namespace pn::bin
