#pragma once

#include "base/awaitable.hpp"
#include "base/event.hpp"
#include "base/nursery.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "node/breaker_core.hpp"
#include "node/claim_choice.hpp"
#include "node/disk_guard.hpp"
#include "node/dms_client.hpp"
#include "node/node_status.hpp"
#include "node/poll_core.hpp"
#include "node/task_run.hpp"

#include <cstddef>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
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
  explicit Engine(const TaskParts& parts,
                  RunMode mode = RunMode::serve,
                  SpaceProbe space = probe_space);
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// Polls and works until request_stop(), or until the one task is done, then returns when the
  /// last task is done. Cancellation ends everything and throws operation_aborted.
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

  /// Slots that are taken; a task that only waits for its receipt to be taken holds none.
  [[nodiscard]] std::size_t busy() const;
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

  /// For a watchdog: when the poll loop must have proved alive again. A poll in flight counts until
  /// its own deadline. max() when there is nothing to poll for any more.
  [[nodiscard]] SteadyTime next_turn_by() const { return next_turn_by_; }

 private:
  struct Slot {
    std::unique_ptr<TaskRun> run;
    Capability capability;
    LeaseId lease;
    int attempt = 1;
    SteadyTime leased_at{};
    bool judged = false;  ///< the breaker has heard how it ended
    BreakerCore::Ticket ticket = BreakerCore::Ticket::plain;
  };
  using Tasks = std::list<Slot>;
  struct Pause {
    std::optional<SystemTime> until;
  };
  /// How long until the next poll.
  struct Wait {
    Millis pause{0};
    bool until_free = true;  ///< a task that ends, cuts it short
  };

  // engine.cpp: the poll loop
  Awaitable<void> poll();
  Awaitable<std::optional<ClaimAsk>> ready();
  Awaitable<void> wait_for_answer(ClaimAsk what);
  Awaitable<void> ask(ClaimAsk what);
  Awaitable<void> take_back();
  Awaitable<void> wait(Wait wait);
  Awaitable<void> nap(SteadyTime until);
  Wait failed(const Error& error);
  void turn(SteadyTime until);
  [[nodiscard]] bool full() const;
  [[nodiscard]] bool done() const { return stopping_ || once_over_; }
  void once_ends(RunEnd end);

  // engine_tasks.cpp: what a poll brought, and how it ended
  Awaitable<void> take(Claim claim, Wait& wait);
  [[nodiscard]] bool repeated(const Lease& lease);
  void start(Lease lease);
  Awaitable<void> refuse(TaskId task, std::string body);
  Awaitable<void> run_task(Tasks::iterator task);
  void freed();
  void judge(Slot& slot, const PastTask& past, bool crashed);
  void ended(Slot& slot, bool crashed);
  void look_at_breakers();
  void breaker_changed(const Capability& capability, BreakerCore::Change change);
  [[nodiscard]] std::map<Capability, std::size_t> busy_by_capability() const;
  [[nodiscard]] std::set<Capability> paused_capabilities() const;
  [[nodiscard]] std::string why_paused(const Capability& capability) const;

  const TaskParts& parts_;
  PollCore core_;
  ClaimChoice choice_;
  std::map<Capability, BreakerCore> breakers_;
  DiskGuard disk_;
  PollStatus status_;
  Tasks tasks_;
  std::deque<PastTask> past_;  // newest first
  std::optional<Pause> pause_;
  const RunMode mode_;
  RunEnd end_ = RunEnd::drained;
  bool stopping_ = false;
  bool once_over_ = false;
  ClaimAsk asked_;  // the last
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
