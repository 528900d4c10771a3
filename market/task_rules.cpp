#include "market/task_rules.hpp"

#include "base/result.hpp"
#include "base/time.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace pn::market {
namespace {

template <class E, std::size_t N>
using Names = std::array<std::pair<E, std::string_view>, N>;

constexpr Names<TaskStatus, 6> kTaskStatus{{{TaskStatus::queued, "queued"},
                                            {TaskStatus::leased, "leased"},
                                            {TaskStatus::running, "running"},
                                            {TaskStatus::completed, "completed"},
                                            {TaskStatus::failed, "failed"},
                                            {TaskStatus::canceled, "canceled"}}};
constexpr Names<LastOutcome, 4> kLastOutcome{{{LastOutcome::none, "none"},
                                              {LastOutcome::expired, "expired"},
                                              {LastOutcome::completed, "completed"},
                                              {LastOutcome::failed, "failed"}}};
constexpr Names<JobStatus, 5> kJobStatus{{{JobStatus::pending, "pending"},
                                          {JobStatus::running, "running"},
                                          {JobStatus::completed, "completed"},
                                          {JobStatus::failed, "failed"},
                                          {JobStatus::canceled, "canceled"}}};

template <class Table, class E>
std::string_view name_in(const Table& table, E value) {
  for (const auto& [known, text] : table) {
    if (known == value) return text;
  }
  return "";
}

template <class E, std::size_t N>
std::optional<E> parse_in(const Names<E, N>& table, std::string_view text) {
  for (const auto& [known, its_text] : table) {
    if (its_text == text) return known;
  }
  return std::nullopt;
}

Error refused(std::string code, std::string detail) {
  return {ErrorKind::rejected, std::move(code), std::move(detail)};
}

Error lease_lost() {
  return refused("lease_lost", "this node does not hold the task's lease; stop working on it");
}

/// What a failed or expired attempt leads to.
Ended requeue_or_fail(TaskState next, LastOutcome outcome, const FailedAttempt& how) {
  next.last_outcome = outcome;
  const bool again = how.retry != Retry::never && next.attempts < next.max_attempts;
  next.status = again ? TaskStatus::queued : TaskStatus::failed;
  const bool waits = again && how.retry == Retry::backed_off;
  next.not_before = waits ? how.at + retry_pause(next.attempts, how.share) : SystemTime();
  return {.next = std::move(next), .effect = again ? Effect::requeued : Effect::failed};
}

/// Whether a receipt of `who` counts now. An Error otherwise.
Result<void> may_report(const TaskState& task, const Reporter& who) {
  if (!holds(task, who)) return lease_lost();
  switch (task.status) {
    case TaskStatus::leased:
    case TaskStatus::running:
      return {};
    case TaskStatus::queued:
      // Nobody took it over yet: what its last holder made is as good as ever.
      if (task.last_outcome == LastOutcome::expired) return {};
      return refused("task_ended", "this attempt was reported as failed already");
    case TaskStatus::canceled:
      return refused("task_canceled", "the task was canceled");
    case TaskStatus::completed:
    case TaskStatus::failed:
      break;
  }
  return refused("task_ended", "the task has ended as " + std::string(name(task.status)));
}

}  // namespace

std::string_view name(TaskStatus status) { return name_in(kTaskStatus, status); }
std::optional<TaskStatus> parse_task_status(std::string_view text) {
  return parse_in(kTaskStatus, text);
}
std::string_view name(LastOutcome outcome) { return name_in(kLastOutcome, outcome); }
std::optional<LastOutcome> parse_last_outcome(std::string_view text) {
  return parse_in(kLastOutcome, text);
}
std::string_view name(JobStatus status) { return name_in(kJobStatus, status); }
std::optional<JobStatus> parse_job_status(std::string_view text) {
  return parse_in(kJobStatus, text);
}

bool is_open(TaskStatus status) {
  return status == TaskStatus::queued || status == TaskStatus::leased ||
         status == TaskStatus::running;
}

bool holds(const TaskState& task, const Reporter& who) {
  if (task.node.empty() || task.node != who.node) return false;
  return who.lease.empty() || who.lease == task.lease;
}

Result<TaskState> claim(const TaskState& task,
                        const NodeId& node,
                        const LeaseId& lease,
                        SystemTime now,
                        std::chrono::seconds ttl) {
  if (task.status != TaskStatus::queued || task.deps_remaining > 0 || now < task.not_before) {
    return refused("conflict", "the task is not waiting for a node");
  }
  TaskState next = task;
  next.status = TaskStatus::leased;
  next.attempts += 1;
  next.node = node;
  next.lease = lease;
  next.last_outcome = LastOutcome::none;
  next.leased_at = now;
  next.lease_expires = now + ttl;
  next.last_heartbeat = SystemTime();
  next.not_before = SystemTime();
  return next;
}

Result<Beat> heartbeat(const TaskState& task,
                       const Reporter& who,
                       SystemTime now,
                       std::chrono::seconds ttl) {
  if (!holds(task, who)) return lease_lost();
  if (task.status == TaskStatus::canceled && now < task.lease_expires)
    return Beat{.next = task, .cancel = true};
  if (task.status != TaskStatus::leased && task.status != TaskStatus::running) return lease_lost();
  // Past its expiry but not yet swept: nobody else has it, so it lives on.
  Beat beat{.next = task, .cancel = false};
  beat.next.status = TaskStatus::running;
  beat.next.lease_expires = now + ttl;
  beat.next.last_heartbeat = now;
  return beat;
}

Result<Ended> complete(const TaskState& task, const Reporter& who) {
  if (task.status == TaskStatus::completed && holds(task, who))
    return Ended{.next = task, .effect = Effect::nothing};
  const Result<void> may = may_report(task, who);
  if (!may.ok()) return may.error();
  Ended ended{.next = task, .effect = Effect::completed};
  ended.next.status = TaskStatus::completed;
  ended.next.last_outcome = LastOutcome::completed;
  ended.next.not_before = SystemTime();
  return ended;
}

Retry retry_of(bool retryable, std::string_view reason) {
  if (!retryable) return Retry::never;
  const bool node_went = reason == "node_shutdown" || reason == "node_restarted";
  return node_went ? Retry::at_once : Retry::backed_off;
}

Millis retry_pause(int attempt, double share) {
  constexpr int kMostDoublings = 6;  // past the longest pause already
  const int doublings = std::clamp(attempt - 1, 0, kMostDoublings);
  const Millis longest =
      std::min<Millis>(std::chrono::seconds(1) * (1 << doublings), kLongestRetryPause);
  const double part = (1 + std::clamp(share, 0.0, 1.0)) / 2;
  return Millis(static_cast<Millis::rep>(static_cast<double>(longest.count()) * part));
}

Result<Ended> fail(const TaskState& task, const Reporter& who, const FailedAttempt& how) {
  const bool over = task.status == TaskStatus::queued || task.status == TaskStatus::failed;
  if (over && holds(task, who) && task.last_outcome == LastOutcome::failed) {
    return Ended{.next = task, .effect = Effect::nothing};
  }
  const Result<void> may = may_report(task, who);
  if (!may.ok()) return may.error();
  return requeue_or_fail(task, LastOutcome::failed, how);
}

std::optional<Ended> expire(const TaskState& task, SystemTime now) {
  const bool held = task.status == TaskStatus::leased || task.status == TaskStatus::running;
  if (!held || now < task.lease_expires) return std::nullopt;
  // Nothing failed: whoever held it was not heard of.
  const FailedAttempt silent{.retry = Retry::at_once, .at = now};
  return requeue_or_fail(task, LastOutcome::expired, silent);
}

std::optional<TaskState> cancel(const TaskState& task, SystemTime now) {
  if (!is_open(task.status)) return std::nullopt;
  TaskState next = task;
  // The last holder of a task that waits again has nothing to be told.
  if (task.status == TaskStatus::queued) next.lease_expires = SystemTime();
  next.status = TaskStatus::canceled;
  next.not_before = SystemTime();
  next.cancel_requested = now;
  return next;
}

JobState after_tasks_ended(JobState job, int ended, int failed) {
  job.open_tasks -= ended;
  job.failed_tasks += failed;
  if (job.open_tasks > 0 || job.status == JobStatus::canceled) return job;
  job.status = job.failed_tasks > 0 ? JobStatus::failed : JobStatus::completed;
  return job;
}

JobState after_claim(JobState job) {
  if (job.status == JobStatus::pending) job.status = JobStatus::running;
  return job;
}

}  // namespace pn::market
