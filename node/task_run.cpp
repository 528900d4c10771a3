#include "node/task_run.hpp"

#include "base/offload.hpp"

#include <exception>
#include <utility>
#include <vector>

#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/system/system_error.hpp>

namespace pn::node {
namespace {

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

/// So that nothing of run() itself, coroutine or not, happens on the control loop.
Awaitable<Result<void>> call(runners::Runner& runner, runners::TaskContext& context) {
  Awaitable<Result<void>> running = runner.run(context);
  co_return co_await std::move(running);
}

bool is_aborted(const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const boost::system::system_error& e) {
    return e.code() == asio::error::operation_aborted;
  } catch (...) {
    return false;
  }
}

/// What a runner's exception is as its task's failure.
Error what_it_means(const std::exception_ptr& thrown) {
  std::string what;
  try {
    std::rethrow_exception(thrown);
  } catch (const WorkspaceFailure& e) {
    return e.error;
  } catch (const std::exception& e) {
    what = e.what();
  } catch (...) {
    what = "something that is no exception";
  }
  return {ErrorKind::internal, "runner_crashed", "the runner threw: " + what};
}

}  // namespace

TaskRun::TaskRun(const TaskParts& parts, Lease lease)
    : parts_(parts),
      logger_(task_logger(parts, lease)),
      began_(parts.clock.steady_now()),
      lease_(std::move(lease)),
      token_(lease_.token),
      beats_(HeartbeatParts{parts.control, parts.dms, parts.clock, parts.rng, logger_},
             lease_policy(parts.config),
             lease_,
             token_),
      link_(parts.control, beats_),
      tokens_(parts.transfer, parts.clock, token_, link_),
      workspace_(parts.config.work_dir, lease_.task.id, parts.rng),
      wake_(parts.control),
      beat_group_(parts.control),
      runner_group_(parts.control),
      children_(parts.control) {}

Awaitable<void> TaskRun::run() {
  children_.spawn("task", conduct());
  co_await children_.join();
}

void TaskRun::shutdown() {
  shutdown_ = true;
  beats_.give_up();
  wake_.set();
}

Awaitable<void> TaskRun::conduct() {
  const bool ready = co_await set_up();
  if (!ready) co_return;
  co_await work();
  if (beats_.end() == LeaseEnd::none) co_await beats_.flush();
  co_await report();
  beat_group_.cancel();
  co_await clean_up();
}

/// False when the task is over: reported, or not ours.
Awaitable<bool> TaskRun::set_up() {
  const Result<runners::Runner*> runner = parts_.registry.find(lease_.task.capability);
  if (!runner) {
    co_await setup_failed(SetupStage::start_session, runner.error());
    co_return false;
  }
  runner_ = *runner;
  const Result<void> first = co_await beats_.open(parts_.config.request_timeout);
  if (beats_.end() != LeaseEnd::none) {
    logger_.info("task.dropped", {{"lease", name(beats_.end())}});
    co_return false;
  }
  if (!first) {
    co_await setup_failed(SetupStage::initial_heartbeat, first.error());
    co_return false;
  }
  const PortsOrder order{
      lease_.task, lease_.domain_server_url, tokens_, workspace_.path(), logger_};
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
    co_await deliver(Outcome::failed, fail_body(lease_, failure, std::vector<storage::Artifact>()));
    co_return;
  }
  co_await deliver(Outcome::failed, setup_failed_body(lease_.id, stage, why.detail));
}

Awaitable<void> TaskRun::work() {
  context_.emplace(TaskContextImpl::Parts{lease_.task,
                                          *ports_.inputs,
                                          *ports_.outputs,
                                          workspace_,
                                          link_,
                                          parts_.compute,
                                          parts_.clock,
                                          logger_});
  logger_.info("task.started",
               {{"job", lease_.task.job},
                {"capability", lease_.task.capability},
                {"max_attempts", lease_.task.max_attempts}});
  start(beat_group_, "heartbeats", beat());
  start(runner_group_, "runner", call_runner());
  while (!runner_ended_) {
    co_await wake_.wait();
    if (stopping_ || runner_ended_) continue;
    if (beats_.end() == LeaseEnd::none && !shutdown_) continue;
    stopping_ = true;
    runner_group_.cancel();
  }
}

void TaskRun::start(Nursery& group, std::string_view name, Awaitable<void> child) {
  group.spawn(name, std::move(child));
  children_.spawn(name, hold(group));
}

Awaitable<void> TaskRun::beat() {
  co_await beats_.run();
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
  std::exception_ptr thrown;
  try {
    Awaitable<Result<void>> calling = call(*runner_, *context_);
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
    co_return;
  }
  const std::vector<storage::Artifact> artifacts = ports_.outputs->artifacts();
  const Millis took = std::chrono::duration_cast<Millis>(parts_.clock.steady_now() - began_);
  if (outcome_ && outcome_->ok()) {
    logger_.info("task.completed", {{"took_ms", took.count()}, {"artifacts", artifacts.size()}});
    co_await deliver(Outcome::completed, complete_body(lease_, artifacts));
    co_return;
  }
  const Failure failure = why_failed();
  keep_workspace_ = !stopping_;
  logger_.warn("task.failed",
               {{"took_ms", took.count()},
                {"reason", failure.reason},
                {"error", failure.error},
                {"retryable", failure.retryable}});
  co_await deliver(Outcome::failed, fail_body(lease_, failure, artifacts));
}

/// Whatever a runner says that was stopped for our sake, the reason is ours.
Failure TaskRun::why_failed() const {
  if (stopping_ || !outcome_) return {.reason = "node_shutdown", .error = "the node shuts down"};
  const Error& error = outcome_->error();
  const bool hopeless = error.kind == ErrorKind::rejected || error.kind == ErrorKind::corrupt;
  return {.reason = error.code, .error = error.detail, .retryable = !hopeless};
}

Awaitable<void> TaskRun::deliver(Outcome outcome, std::string body) {
  Receipt receipt{lease_.task.id, outcome, std::move(body), lease_.trace_id};
  // The sink logs how it went; there is nothing else to do about it here.
  const Result<void> ignored = co_await parts_.receipts.deliver(std::move(receipt));
  static_cast<void>(ignored);
}

Awaitable<void> TaskRun::clean_up() {
  if (!workspace_.exists()) co_return;
  if (keep_workspace_) {
    logger_.info("workspace.kept",
                 {{"path", workspace_.path().string()},
                  {"hours", parts_.config.workspace_keep_failed.count()}});
    co_return;
  }
  Workspace& workspace = workspace_;
  const auto remove = [&workspace] { return workspace.remove(); };
  const Result<void> removed = co_await offload(parts_.io, remove);
  if (!removed) logger_.warn("workspace.stuck", {log::field(removed.error())});
}

}  // namespace pn::node
