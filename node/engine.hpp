#pragma once

#include "base/awaitable.hpp"
#include "base/event.hpp"
#include "base/nursery.hpp"
#include "base/result.hpp"
#include "node/dms_client.hpp"
#include "node/poll_core.hpp"
#include "node/task_run.hpp"

#include <cstddef>
#include <list>
#include <memory>
#include <optional>

namespace pn::node {

/// The last poll's fate, for /readyz.
struct PollStatus {
  std::optional<SteadyTime> last_answer;  ///< nothing before the first
  std::optional<Error> last_error;        ///< nothing after a poll that was answered
  bool asking = false;                    ///< one is under way: a long poll takes its time
};

/// The slots of a node: one poll at a time while a slot is free, one TaskRun a lease. Thread: the
/// control loop's.
class Engine final {
 public:
  /// `parts` outlives the engine.
  explicit Engine(const TaskParts& parts);
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// Polls and works until request_stop(), then returns when the last task is done. Cancellation
  /// ends everything and throws operation_aborted.
  Awaitable<void> run();

  /// Leases nothing more.
  void request_stop();
  /// Ends the runners; each task reports `node_shutdown`. Implies request_stop().
  void cancel_tasks();

  [[nodiscard]] std::size_t busy() const { return tasks_.size(); }
  [[nodiscard]] const PollStatus& status() const { return status_; }

 private:
  using Tasks = std::list<std::unique_ptr<TaskRun>>;

  Awaitable<void> poll();
  Awaitable<void> ask();
  Awaitable<void> take_back();
  Awaitable<void> wait_for_answer();
  Awaitable<void> take(Claim claim, Millis& pause);
  Awaitable<void> refuse(TaskId task, std::string body);
  Awaitable<void> run_task(Tasks::iterator task);
  [[nodiscard]] bool full() const;

  const TaskParts& parts_;
  PollCore core_;
  PollStatus status_;
  Tasks tasks_;
  bool stopping_ = false;
  std::optional<Result<Claim>> answer_;  // of the poll under way
  SteadyTime asked_at_{};
  Event wake_;    // a slot is free, or we stop
  Event polled_;  // the last poll is over

  Nursery asking_;
  Nursery children_;
};

}  // namespace pn::node
