#include "node/task_run.hpp"

#include "base/awaitable.hpp"
#include "base/crash_point.hpp"
#include "base/deadline.hpp"
#include "base/finally.hpp"
#include "base/log.hpp"
#include "base/nursery.hpp"
#include "base/offload.hpp"
#include "base/result.hpp"
#include "base/thrown.hpp"
#include "base/time.hpp"
#include "node/config.hpp"
#include "node/heartbeat_loop.hpp"
#include "node/journal.hpp"
#include "node/lease.hpp"
#include "node/lease_core.hpp"
#include "node/metrics.hpp"
#include "node/node_status.hpp"
#include "node/outbox.hpp"
#include "node/receipt.hpp"
#include "node/task_context_impl.hpp"
#include "node/task_ports.hpp"
#include "node/workspace.hpp"
#include "runners/runner.hpp"
#include "runners/task_context.hpp"
#include "storage/ports.hpp"

#include <chrono>
#include <exception>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/system/system_error.hpp>

namespace pn::node {
namespace {

/// A node that leaves waits this long for its last receipts, and one that drains a little longer,
/// because their leases are lost with it; the outbox has them on disk.
constexpr std::chrono::seconds kLastTry{5};
constexpr std::chrono::seconds kLastTryOfDrain{30};
/// Nobody waits longer than this where the server names no end of a lease.
constexpr std::chrono::minutes kLongestLinger{10};

LeasePolicy lease_policy(const Config& config) {
  return {.min_ratio = config.heartbeat_min_ratio,
          .max_ratio = config.heartbeat_max_ratio,
          .jitter = config.heartbeat_jitter,
          .try_timeout = config.heartbeat_timeout,
          .fence_margin = config.lease_fence_margin};
}

log::Logger task_logger(const TaskParts& parts, const Lease& lease) {
  return parts.logger.with({{"task", lease.task.id}, {"attempt", lease.task.attempt}});
}

/// A group as a child of another: ends when the group is empty, and takes it down when cancelled.
Awaitable<void> hold(Nursery& group) { co_await group.join(); }

/// So that nothing of run() itself, coroutine or not, happens on the control loop. What a runner
/// left open of its outputs is over when it is.
Awaitable<Result<void>> call(runners::Runner& runner,
                             runners::TaskContext& context,
                             storage::ArtifactPort& outputs) {
  Awaitable<Result<void>> running = runner.run(context);
  const std::function<Awaitable<void>()> closing = [&outputs] { return outputs.close(); };
  co_return co_await finally<Result<void>>(std::move(running), closing);
}

/// What a runner's exception is as its task's failure.
Error what_it_means(const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const WorkspaceFailure& e) {
    return e.error;
  } catch (...) {
    return {ErrorKind::internal, "runner_crashed", "the runner threw: " + what_of(thrown)};
  }
}

}  // namespace

TaskRun::TaskRun(const TaskParts& parts, Lease lease, std::function<void()> freed)
    : parts_(parts),
      logger_(task_logger(parts, lease)),
      began_(parts.clock.steady_now()),
      lease_(std::move(lease)),
      token_(lease_.token),
      beats_(HeartbeatParts{.control = parts.control,
                            .dms = parts.dms,
                            .clock = parts.clock,
                            .rng = parts.rng,
                            .metrics = parts.metrics,
                            .logger = logger_,
                            .fence = fence_},
             lease_policy(parts.config),
             lease_,
             token_),
      link_(parts.control, beats_),
      tokens_(parts.transfer, parts.clock, token_, link_),
      workspace_(parts.config.work_dir, lease_.task.id, parts.rng),
      quota_(parts.io, parts.clock, workspace_.path(), parts.config.task_max_disk_mb),
      freed_(std::move(freed)),
      wake_(parts.control),
      beat_group_(parts.control),
      quota_group_(parts.control),
      runner_group_(parts.control),
      children_(parts.control) {
  link_.on_report([this](std::string_view progress) { reported(progress); });
}

Awaitable<void> TaskRun::run() {
  children_.spawn("task", conduct());
  co_await children_.join();
}

void TaskRun::draining() {
  draining_ = true;
  wake_.set();
}

void TaskRun::shutdown() {
  shutdown_ = true;
  beats_.give_up();
  wake_.set();
}

void TaskRun::superseded() {
  beats_.lose();
  wake_.set();
}

Awaitable<void> TaskRun::conduct() {
  crash_point("lease.received");
  attempt_ = parts_.outbox.lease_taken(lease_);
  crash_point("lease.recorded");
  const bool ready = co_await set_up();
  if (!ready) co_return;
  co_await work();
  crash_point("runner.ended");
  co_await report();
  beat_group_.cancel();
  crash_point("task.over");
}

/// False when the task is over: reported, or not ours.
Awaitable<bool> TaskRun::set_up() {
  const Result<runners::Runner*> runner = parts_.registry.find(lease_.task.capability);
  if (!runner) {
    co_await setup_failed(SetupStage::start_session, runner.error());
    co_return false;
  }
  runner_ = *runner;
  crash_point("heartbeat.sending");
  const Result<void> first = co_await beats_.open(parts_.config.request_timeout);
  crash_point("heartbeat.accepted");
  if (beats_.end() != LeaseEnd::none) {
    logger_.info("task.dropped", {{"lease", name(beats_.end())}});
    parts_.outbox.lease_over(attempt_);
    note(name(beats_.end()), "", "");
    co_return false;
  }
  if (!first) {
    co_await setup_failed(SetupStage::initial_heartbeat, first.error());
    co_return false;
  }
  if (shutdown_) {  // told to stop meanwhile: a quick runner would be done before it heard
    const Error why(ErrorKind::retry, "node_shutdown", "the node shuts down");
    co_await setup_failed(SetupStage::initial_heartbeat, why);
    co_return false;
  }
  const PortsOrder order{.info = lease_.task,
                         .domain_server_url = lease_.domain_server_url,
                         .tokens = tokens_,
                         .folder = workspace_.path(),
                         .open_folder = [this] { workspace_.open(); },
                         .logger = logger_,
                         .fence = fence_};
  Result<TaskPorts> ports = parts_.ports.make(order);
  if (!ports) {
    co_await setup_failed(SetupStage::build_ports, ports.error());
    co_return false;
  }
  ports_ = *std::move(ports);
  co_return true;
}

Awaitable<void> TaskRun::setup_failed(SetupStage stage, const Error& why) {
  logger_.warn("task.setup_failed", {{"stage", name(stage)}, log::field(why)});
  if (shutdown_) {
    Failure failure{.reason = "node_shutdown", .error = "the node shuts down"};
    note(name(Outcome::failed), failure.reason, failure.error);
    co_await deliver(Outcome::failed, fail_body(lease_, failure, std::vector<storage::Artifact>()));
    co_return;
  }
  note(name(Outcome::failed), "node_setup_failed", why.detail);
  co_await deliver(Outcome::failed, setup_failed_body(lease_.id, stage, why.detail));
}

Awaitable<void> TaskRun::work() {
  context_.emplace(TaskContextImpl::Parts{.info = lease_.task,
                                          .inputs = *ports_.inputs,
                                          .outputs = *ports_.outputs,
                                          .workspace = workspace_,
                                          .link = link_,
                                          .compute = parts_.compute,
                                          .clock = parts_.clock,
                                          .logger = logger_});
  logger_.info("task.started",
               {{"job", lease_.task.job},
                {"capability", lease_.task.capability},
                {"max_attempts", lease_.task.max_attempts}});
  phase_ = Phase::running;
  last_report_ = parts_.clock.steady_now();
  if (lease_.sent != SteadyTime{}) {
    parts_.metrics.dispatched(lease_.task.capability,
                              std::chrono::duration_cast<Millis>(last_report_ - lease_.sent));
  }
  beating_ = true;
  start(beat_group_, "heartbeats", beat());
  start(runner_group_, "runner", call_runner());
  if (quota_.limited()) start(quota_group_, "disk", watch_disk());
  while (!runner_ended_) {
    co_await wake_.wait_until(parts_.clock, stalls_at());
    if (stopping_ || runner_ended_) continue;
    const bool ours = beats_.end() == LeaseEnd::none && !shutdown_;
    too_large_ = ours && quota_.exceeded();
    stalled_ = ours && !too_large_ && stalls();
    if (ours && !too_large_ && !stalled_) continue;
    stopping_ = true;
    phase_ = Phase::stopping;
    runner_group_.cancel();
  }
  quota_group_.cancel();
}

void TaskRun::start(Nursery& group, std::string_view name, Awaitable<void> child) {
  group.spawn(name, std::move(child));
  children_.spawn(name, hold(group));
}

Awaitable<void> TaskRun::beat() {
  co_await beats_.run();
  wake_.set();
}

Awaitable<void> TaskRun::watch_disk() {
  co_await quota_.watch();
  wake_.set();
}

/// The job boundary: whatever a runner throws ends here, but for the cancellation that we asked
/// for.
Awaitable<void> TaskRun::call_runner() {
  struct Ended {
    TaskRun& task;
    ~Ended() {
      task.runner_ended_ = true;
      task.wake_.set();
    }
  };
  const Ended ended{*this};
  crash_point("runner.started");
  std::exception_ptr thrown;
  try {
    Awaitable<Result<void>> calling = call(*runner_, *context_, *ports_.outputs);
    Result<void> answer = co_await run_on(parts_.transfer, std::move(calling));
    outcome_ = std::move(answer);
  } catch (...) {
    thrown = std::current_exception();
  }
  if (!thrown) co_return;
  const auto state = co_await asio::this_coro::cancellation_state;
  if (state.cancelled() != asio::cancellation_type::none && is_aborted(thrown)) {
    std::rethrow_exception(thrown);
  }
  outcome_ = what_it_means(thrown);
}

Awaitable<void> TaskRun::report() {
  if (beats_.end() != LeaseEnd::none) {
    logger_.info("task.dropped", {{"lease", name(beats_.end())}});
    // What a canceled job left is of no use to anybody; a lost lease is worth a look.
    keep_workspace_ = beats_.end() != LeaseEnd::canceled;
    parts_.outbox.lease_over(attempt_);
    note(name(beats_.end()), "", "");
    co_await clean_up();
    co_return;
  }
  const std::vector<storage::Artifact> artifacts = ports_.outputs->artifacts();
  const Millis took = std::chrono::duration_cast<Millis>(parts_.clock.steady_now() - began_);
  if (outcome_ && outcome_->ok()) {
    logger_.info("task.completed", {{"took_ms", took.count()}, {"artifacts", artifacts.size()}});
    note(name(Outcome::completed), "", "");
    co_await deliver(Outcome::completed, complete_body(lease_, artifacts));
    co_return;
  }
  const Failure failure = why_failed();
  // What was too large for the disk does not stay there for a look.
  keep_workspace_ = (!stopping_ || stalled_) && failure.reason != "task_disk_full";
  logger_.warn("task.failed",
               {{"took_ms", took.count()},
                {"reason", failure.reason},
                {"error", failure.error},
                {"retryable", failure.retryable}});
  note(name(Outcome::failed), failure.reason, failure.error);
  co_await deliver(Outcome::failed, fail_body(lease_, failure, artifacts));
}

/// How it ended, for those who look at the node. Not counted yet: a delivery may find out that the
/// server wants neither.
void TaskRun::note(std::string_view outcome, std::string_view reason, std::string_view error) {
  past_.outcome = std::string(outcome);
  past_.reason = std::string(reason);
  past_.error = std::string(error);
  past_.ended_at = parts_.clock.system_now();
  past_.took = std::chrono::duration_cast<Millis>(parts_.clock.steady_now() - began_);
}

/// Whatever a runner says that was stopped for our sake, the reason is ours.
Failure TaskRun::why_failed() const {
  if (stalled_) {
    return {.reason = "stalled",
            .error = "the runner reported nothing new for " +
                     format_duration(parts_.config.stall_timeout) + " (STALL_TIMEOUT_SECS)"};
  }
  if (too_large_) return quota_.failure();
  if (stopping_ || !outcome_) return {.reason = "node_shutdown", .error = "the node shuts down"};
  const Error& error = outcome_->error();
  const bool hopeless = error.kind == ErrorKind::rejected || error.kind == ErrorKind::corrupt;
  return {.reason = error.code, .error = error.detail, .retryable = !hopeless};
}

Awaitable<void> TaskRun::deliver(Outcome outcome, std::string body) {
  phase_ = Phase::flushing;
  crash_point("outcome.reached");
  Receipt receipt{.task = lease_.task.id,
                  .outcome = outcome,
                  .body = std::move(body),
                  .trace_id = lease_.trace_id};
  std::function<void()> changed = [this] { wake_.set(); };
  // Before the last beats: what they take, or a fence that passes meanwhile, costs no outcome.
  co_await parts_.outbox.keep(attempt_, std::move(receipt), std::move(changed));
  // It is the outbox's now, also when we are cancelled: that must not call us any more.
  struct Handed {
    Outbox& outbox;
    RowId attempt;
    ~Handed() {
      outbox.unwatch(attempt);
      outbox.release(attempt);
    }
  };
  const Handed handed{.outbox = parts_.outbox, .attempt = attempt_};
  if (beating_ && beats_.end() == LeaseEnd::none) co_await beats_.flush();
  if (beats_.end() == LeaseEnd::canceled || beats_.end() == LeaseEnd::lost) {
    // The server wants neither, or has given the task to another.
    past_.outcome = name(beats_.end());
    parts_.outbox.withdraw(attempt_);
  }
  parts_.outbox.release(attempt_);
  co_await clean_up();
  phase_ = Phase::reporting;
  co_await wait_for_delivery();
}

/// Until the receipt is taken, or we can do nothing more for it.
Awaitable<void> TaskRun::wait_for_delivery() {
  Deadline latest = Deadline::in(parts_.clock, kLongestLinger);
  while (parts_.outbox.pending(attempt_) && !latest.passed(parts_.clock)) {
    if (beats_.end() == LeaseEnd::canceled) {
      parts_.outbox.withdraw(attempt_);
      past_.outcome = name(LeaseEnd::canceled);
      co_return;
    }
    const bool delayed = parts_.outbox.delayed(attempt_);
    // Without heartbeats nobody would tell when the lease is over.
    if (beats_.end() != LeaseEnd::none || (delayed && !beating_)) co_return;
    if (delayed && !lingers_) {
      lingers_ = true;
      if (freed_) freed_();
    }
    if (shutdown_ || draining_) {
      // From now, or from when it was said first.
      if (!leaving_at_) leaving_at_ = parts_.clock.steady_now();
      latest = latest.sooner(Deadline(*leaving_at_ + (shutdown_ ? kLastTry : kLastTryOfDrain)));
    }
    co_await wake_.wait_until(parts_.clock, latest);
  }
}

Awaitable<void> TaskRun::clean_up() {
  phase_ = Phase::cleaning_up;
  if (!workspace_.exists()) co_return;
  Workspace& workspace = workspace_;
  if (keep_workspace_) {
    const auto keep = [&workspace] { return workspace.keep(); };
    const Result<void> kept = co_await offload(parts_.io, keep);
    if (!kept) logger_.warn("workspace.stuck", {log::field(kept.error())});
    logger_.info("workspace.kept",
                 {{"path", workspace_.path().string()},
                  {"hours", parts_.config.workspace_keep_failed.count()}});
    co_return;
  }
  const auto remove = [&workspace] { return workspace.remove(); };
  const Result<void> removed = co_await offload(parts_.io, remove);
  if (!removed) logger_.warn("workspace.stuck", {log::field(removed.error())});
  crash_point("workspace.removed");
}

void TaskRun::reported(std::string_view progress) {
  if (!progress.empty() && progress == progress_) return;  // the same again is none
  if (!progress.empty()) progress_ = progress;
  last_report_ = parts_.clock.steady_now();
}

Deadline TaskRun::stalls_at() const {
  if (parts_.config.stall_timeout.count() == 0 || stopping_) return {};
  return Deadline(last_report_ + parts_.config.stall_timeout);
}

bool TaskRun::stalls() const {
  const Deadline at = stalls_at();
  return at.reachable() && at.passed(parts_.clock);
}

}  // namespace pn::node
