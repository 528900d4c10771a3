#pragma once

#include "base/ids.hpp"
#include "base/result.hpp"
#include "base/time.hpp"

#include <chrono>
#include <optional>
#include <string_view>

namespace pn::market {

// The life of a task and of its job. Pure: what is, and what is asked, in; what shall be, out.
//
// Invariants
//  1. `attempts` counts claims, and never passes `max_attempts`.
//  2. leased, running: `node`, `lease` and `lease_expires` name the one holder.
//  3. queued after an attempt: `node` and `lease` name the last holder, until the next claim.
//  4. completed, failed, canceled: final, except that a receipt may repeat.
//  5. `not_before` is set while a queued task waits for its next attempt, and then only.
//  6. A job is ended exactly when none of its tasks is queued, leased or running; failed when one
//     of them failed for good.
//
//           claim            heartbeat             complete
//   queued ───────▶ leased ────────────▶ running ────────────▶ completed
//     ▲               │                     │ ◀┐ heartbeat
//     │               │  fail, expire       │ ─┘
//     ├───────────────┴─────────────────────┤ attempts < max_attempts (after a failure: not_before)
//     │                                     └──────────────▶ failed   (else, or not retryable)
//     └── complete by the last holder, after expire ─▶ completed
//   queued, leased, running ── cancel ─▶ canceled
//
//   queued            -> leased              [claim]
//   leased, running   -> running             [heartbeat]
//   leased, running   -> completed           [complete]
//   queued (expired)  -> completed           [complete]
//   leased, running   -> queued | failed     [fail] [expire]
//   queued (expired)  -> queued | failed     [fail]
//   queued, leased, running -> canceled      [cancel]
//
// What holds: queued: nobody may write for it, whoever claims it first gets it (when deps_remaining
// is 0, from not_before on). leased: handed out, not yet heard of. running: heard of, before
// lease_expires or not yet swept. canceled: the holder is told so by its next heartbeat, until its
// lease would have ended.

enum class TaskStatus { queued, leased, running, completed, failed, canceled };
std::string_view name(TaskStatus status);
/// Nothing for another text.
std::optional<TaskStatus> parse_task_status(std::string_view text);

/// How the last lease ended; what a late or repeated receipt is judged by.
enum class LastOutcome { none, expired, completed, failed };
std::string_view name(LastOutcome outcome);
std::optional<LastOutcome> parse_last_outcome(std::string_view text);

struct TaskState {
  TaskStatus status = TaskStatus::queued;
  int deps_remaining = 0;
  int attempts = 0;
  int max_attempts = 1;
  NodeId node;
  LeaseId lease;
  LastOutcome last_outcome = LastOutcome::none;
  SystemTime leased_at{};
  SystemTime lease_expires{};
  SystemTime last_heartbeat{};
  SystemTime cancel_requested{};
  SystemTime not_before{};  ///< nobody may claim it earlier; the epoch: at once

  friend bool operator==(const TaskState&, const TaskState&) = default;
};

/// Who speaks for a task: a node, and the lease it was given, where it says so.
struct Reporter {
  NodeId node;
  LeaseId lease;  ///< empty: a node that does not know leases by id
};

[[nodiscard]] bool is_open(TaskStatus status);
[[nodiscard]] bool holds(const TaskState& task, const Reporter& who);

/// Kind `rejected`, code "conflict", when the task is not to be had.
Result<TaskState> claim(const TaskState& task,
                        const NodeId& node,
                        const LeaseId& lease,
                        SystemTime now,
                        std::chrono::seconds ttl);

struct Beat {
  TaskState next;
  bool cancel = false;
};
/// Kind `rejected`, code "lease_lost": another holds it, or nobody any more.
Result<Beat> heartbeat(const TaskState& task,
                       const Reporter& who,
                       SystemTime now,
                       std::chrono::seconds ttl);

enum class Effect {
  nothing,  ///< the same again: answer as before, change nothing
  completed,
  requeued,
  failed  ///< for good
};
struct Ended {
  TaskState next;
  Effect effect = Effect::nothing;
};
/// What may follow an attempt that ended without success, while attempts are left.
enum class Retry {
  never,      ///< no other attempt can mend it
  at_once,    ///< the node went, and nothing is known against the task
  backed_off  ///< the task failed: it waits, so that what is wrong may pass
};
/// By a failure's receipt: what it says of itself, and its reason.
Retry retry_of(bool retryable, std::string_view reason);

constexpr std::chrono::seconds kLongestRetryPause{60};
/// How long a task waits after the failure of attempt number `attempt` (from 1): at most 1 s, 2 s,
/// 4 s ... kLongestRetryPause, at least half of that; `share` (0 to 1) says where between.
Millis retry_pause(int attempt, double share);

struct FailedAttempt {
  Retry retry = Retry::backed_off;
  SystemTime at{};
  double share = 1;  ///< of the pause: random
};

/// Kind `rejected`: "lease_lost", "task_canceled", "task_ended" (with another outcome).
Result<Ended> complete(const TaskState& task, const Reporter& who);
Result<Ended> fail(const TaskState& task, const Reporter& who, const FailedAttempt& how);

/// For the sweep: nothing while the lease holds.
std::optional<Ended> expire(const TaskState& task, SystemTime now);

/// Nothing when the task has ended.
std::optional<TaskState> cancel(const TaskState& task, SystemTime now);

enum class JobStatus { pending, running, completed, failed, canceled };
std::string_view name(JobStatus status);
std::optional<JobStatus> parse_job_status(std::string_view text);

struct JobState {
  JobStatus status = JobStatus::pending;
  int open_tasks = 0;
  int failed_tasks = 0;

  friend bool operator==(const JobState&, const JobState&) = default;
};

/// `ended` of its tasks left the open states, `failed` of these for good. Ends the job with the
/// last one. A canceled job stays canceled.
JobState after_tasks_ended(JobState job, int ended, int failed);
/// A task was claimed.
JobState after_claim(JobState job);

}  // namespace pn::market
