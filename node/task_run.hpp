#pragma once

#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/deadline.hpp"
#include "base/event.hpp"
#include "base/log.hpp"
#include "base/nursery.hpp"
#include "base/offload.hpp"
#include "base/result.hpp"
#include "base/rng.hpp"
#include "node/config.hpp"
#include "node/dms_client.hpp"
#include "node/heartbeat_loop.hpp"
#include "node/journal.hpp"
#include "node/lease.hpp"
#include "node/metrics.hpp"
#include "node/node_status.hpp"
#include "node/outbox.hpp"
#include "node/receipt.hpp"
#include "node/task_context_impl.hpp"
#include "node/task_ports.hpp"
#include "node/workspace.hpp"
#include "node/workspace_quota.hpp"
#include "node/write_fence.hpp"
#include "runners/registry.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pn::node {

/// What every task of a node shares. References outlive the tasks.
struct TaskParts {
  Executor control;
  Executor transfer;
  ThreadPool& compute;
  ThreadPool& io;
  Clock& clock;
  Rng& rng;
  DmsClient& dms;
  Outbox& outbox;
  TaskPortsFactory& ports;
  const runners::Registry& registry;
  const Config& config;
  Metrics& metrics;
  log::Logger logger;
};

/// One lease, from its first heartbeat to its receipt.
///
/// Invariants
/// 1. The runner starts after the first accepted heartbeat, and has ended before run() returns.
/// 2. A lease that ended (canceled, lost, fenced) before its task gets no receipt; any other gets
///    exactly one, which is the outbox's from then on.
/// 3. Heartbeats go on until the receipt is taken or the lease ends, so that a slow delivery loses
///    no lease; a canceled one takes its receipt back.
/// 4. Once the receipt is stored and its first try has failed the task holds no slot: lingers().
///
///   set up ──▶ running ──▶ flushing ──▶ reporting (cleans up meanwhile) ──▶ over
///     │           │ lease ended, stalled, too large, or shutdown()
///     │           └──▶ stopping (runner unwinds) ──▶ reporting, or cleaning up
///     └── failed: node_setup_failed ──▶ reporting
///
/// Thread: the control loop's; the runner's coroutine runs on the transfer loop.
class TaskRun final {
 public:
  /// `freed` is called when lingers() becomes true.
  TaskRun(const TaskParts& parts, Lease lease, std::function<void()> freed = nullptr);
  TaskRun(const TaskRun&) = delete;
  TaskRun& operator=(const TaskRun&) = delete;

  /// Once. Cancellation ends the runner, sends nothing, and throws operation_aborted.
  Awaitable<void> run();

  /// The node stops after this task: a receipt that is not taken is not waited for much longer.
  void draining();
  /// Ends the runner and reports `node_shutdown`.
  void shutdown();

  /// The server leased the same task to us anew: this lease is over.
  void superseded();

  [[nodiscard]] const TaskId& task() const { return lease_.task.id; }
  /// The work is done and stored; it only waits for its receipt to be taken.
  [[nodiscard]] bool lingers() const { return lingers_; }

  // What NodeStatus shows (task_status.cpp).
  [[nodiscard]] SlotStatus status() const;
  /// How it ended; once run() has returned.
  [[nodiscard]] PastTask past() const;

 private:
  enum class Phase { set_up, running, stopping, flushing, reporting, cleaning_up };

  Awaitable<void> conduct();
  Awaitable<bool> set_up();
  Awaitable<void> setup_failed(SetupStage stage, const Error& why);
  Awaitable<void> work();
  Awaitable<void> beat();
  Awaitable<void> watch_disk();
  Awaitable<void> call_runner();
  Awaitable<void> report();
  Awaitable<void> deliver(Outcome outcome, std::string body);
  Awaitable<void> wait_for_delivery();
  void reported(std::string_view progress);
  [[nodiscard]] bool stalls() const;
  [[nodiscard]] Deadline stalls_at() const;
  Awaitable<void> clean_up();
  [[nodiscard]] Failure why_failed() const;
  void note(std::string_view outcome, std::string_view reason, std::string_view error);
  void start(Nursery& group, std::string_view name, Awaitable<void> child);

  const TaskParts& parts_;
  const log::Logger logger_;
  const SteadyTime began_;

  Lease lease_;
  storage::TaskToken token_;
  WriteFence fence_;
  HeartbeatLoop beats_;
  BeatLink link_;
  BeatTokens tokens_;
  Workspace workspace_;
  WorkspaceQuota quota_;
  runners::Runner* runner_ = nullptr;
  TaskPorts ports_;
  std::optional<TaskContextImpl> context_;

  const std::function<void()> freed_;
  RowId attempt_ = 0;  // in the outbox
  Phase phase_ = Phase::set_up;
  PastTask past_;
  std::string progress_ = "{}";
  SteadyTime last_report_{};  // of the runner's
  std::optional<SteadyTime> leaving_at_;

  std::optional<Result<void>> outcome_;  // what the runner answered, or crashed with
  bool runner_ended_ = false;
  bool stopping_ = false;
  bool shutdown_ = false;
  bool draining_ = false;
  bool stalled_ = false;
  bool too_large_ = false;
  bool beating_ = false;
  bool lingers_ = false;
  bool keep_workspace_ = false;
  Event wake_;

  Nursery beat_group_;
  Nursery quota_group_;
  Nursery runner_group_;
  Nursery children_;
};

}  // namespace pn::node
