#pragma once

#include "base/awaitable.hpp"
#include "base/event.hpp"
#include "base/nursery.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "node/dms_client.hpp"
#include "node/node_status.hpp"
#include "node/poll_core.hpp"
#include "node/task_run.hpp"

#include <cstddef>
#include <deque>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace pn::node {

/// The last poll's fate, for /readyz.
struct PollStatus {
  std::optional<SteadyTime> last_answer;  ///< nothing before the first
  std::optional<Error> last_error;        ///< nothing after a poll that was answered
  bool asking = false;                    ///< one is under way: a long poll takes its time
};

/// How a run ended; all but `drained` are of one that was to do one task only.
enum class RunEnd {
  drained,
  nothing,      ///< there was no work
  completed,    ///< one task
  failed,       ///< one task
  canceled,     ///< its job was
  lost,         ///< its lease was, or nobody renewed it in time
  unreachable,  ///< DMS, or the sign-in, did not answer
  refused,      ///< the sign-in was refused
};

enum class RunMode {
  serve,  ///< until told to stop
  once,   ///< one task, if there is one
};

/// The slots of a node: one poll at a time while a slot is free, one TaskRun a lease. Thread: the
/// control loop's.
class Engine final {
 public:
  /// `parts` outlives the engine.
  explicit Engine(const TaskParts& parts, RunMode mode = RunMode::serve);
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// Polls and works until request_stop(), then returns when the last task is done. Cancellation
  /// ends everything and throws operation_aborted.
  Awaitable<void> run();

  /// Leases nothing more.
  void request_stop();
  /// Ends the runners; each task reports `node_shutdown`. Implies request_stop().
  void cancel_tasks();

  /// Asks for no work until then, or until resume(); what runs goes on.
  void pause(std::optional<SystemTime> until);
  void resume();
  [[nodiscard]] bool paused() const;
  /// Nothing when not paused, and when paused until resume().
  [[nodiscard]] std::optional<SystemTime> paused_until() const;

  [[nodiscard]] std::size_t busy() const { return tasks_.size(); }
  [[nodiscard]] const PollStatus& status() const { return status_; }
  /// Once run() has returned.
  [[nodiscard]] RunEnd end() const { return end_; }

  // What NodeStatus shows (engine_status.cpp).
  [[nodiscard]] std::vector<SlotStatus> slots() const;
  /// The last 50, newest first.
  [[nodiscard]] std::vector<PastTask> past() const;
  [[nodiscard]] std::vector<CapabilityStatus> capabilities() const;
  /// As last looked at; empty before the first poll.
  [[nodiscard]] std::vector<DiskStatus> disks() const;
  /// Why nothing is leased now, each a sentence with cause and remedy; empty while asking for work.
  [[nodiscard]] std::vector<std::string> reasons() const;

  /// For a watchdog: when the poll loop last proved alive, and when it must have again. A poll in
  /// flight counts until its own deadline. max() when there is nothing to poll for any more.
  [[nodiscard]] SteadyTime last_turn() const { return last_turn_; }
  [[nodiscard]] SteadyTime next_turn_by() const { return next_turn_by_; }

 private:
  struct Slot {
    std::unique_ptr<TaskRun> run;
    Capability capability;
    SteadyTime leased_at{};
  };
  using Tasks = std::list<Slot>;
  struct Pause {
    std::optional<SystemTime> until;
  };

  Awaitable<void> poll();
  Awaitable<void> ask();
  Awaitable<void> take_back();
  Awaitable<void> wait_for_answer();
  Awaitable<void> take(Claim claim, Millis& pause);
  Awaitable<void> refuse(TaskId task, std::string body);
  Awaitable<void> run_task(Tasks::iterator task);
  void remember(const Slot& slot);
  [[nodiscard]] bool full() const;
  void turn(SteadyTime until);

  const TaskParts& parts_;
  PollCore core_;
  PollStatus status_;
  Tasks tasks_;
  std::deque<PastTask> past_;  // newest first
  std::optional<Pause> pause_;
  const RunMode mode_;
  RunEnd end_ = RunEnd::drained;
  bool stopping_ = false;
  SteadyTime last_turn_{};
  SteadyTime next_turn_by_ = SteadyTime::max();
  std::optional<Result<Claim>> answer_;  // of the poll under way
  SteadyTime asked_at_{};
  SteadyTime answer_by_{};
  Event wake_;    // a slot is free, or we stop
  Event polled_;  // the last poll is over

  Nursery asking_;
  Nursery children_;
};

}  // namespace pn::node
