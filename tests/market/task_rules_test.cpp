#include "market/task_rules.hpp"

#include "base/result.hpp"
#include "base/time.hpp"

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

namespace pn::market {
namespace {

using std::chrono::seconds;

constexpr seconds kTtl{30};
const SystemTime kNow{std::chrono::hours(490'000)};

TaskState queued(int attempts = 0, int max_attempts = 3) {
  TaskState task;
  task.attempts = attempts;
  task.max_attempts = max_attempts;
  return task;
}

/// A task that n1 holds by lease L, in `status`.
TaskState held(TaskStatus status, int attempts = 1, int max_attempts = 3) {
  TaskState task = queued(attempts, max_attempts);
  task.status = status;
  task.node = NodeId("n1");
  task.lease = LeaseId("L");
  task.leased_at = kNow;
  task.lease_expires = kNow + kTtl;
  return task;
}

TaskState requeued(LastOutcome outcome) {
  TaskState task = held(TaskStatus::queued);
  task.last_outcome = outcome;
  return task;
}

TaskState ended(TaskStatus status, LastOutcome outcome) {
  TaskState task = held(status);
  task.last_outcome = outcome;
  return task;
}

const Reporter kHolder{NodeId("n1"), LeaseId("L")};
const Reporter kSameNodeNoLease{NodeId("n1"), LeaseId()};
const Reporter kSameNodeOldLease{NodeId("n1"), LeaseId("K")};
const Reporter kOther{NodeId("n2"), LeaseId("L")};

FailedAttempt how(Retry retry) { return {.retry = retry, .at = kNow}; }

std::string code_of(const Result<Ended>& result) {
  return result.ok() ? "ok" : result.error().code;
}

}  // namespace

TEST_CASE("task rules: a claim leases, counts and names the holder", "[market][rules]") {
  const auto got = claim(queued(1), NodeId("n1"), LeaseId("L"), kNow, kTtl);
  REQUIRE(got.ok());
  CHECK(got->status == TaskStatus::leased);
  CHECK(got->attempts == 2);
  CHECK(got->node == NodeId("n1"));
  CHECK(got->lease == LeaseId("L"));
  CHECK(got->lease_expires == kNow + kTtl);
  CHECK(got->leased_at == kNow);
}

TEST_CASE("task rules: what cannot be claimed", "[market][rules]") {
  TaskState waiting = queued();
  waiting.deps_remaining = 1;
  CHECK_FALSE(claim(waiting, NodeId("n"), LeaseId("l"), kNow, kTtl).ok());
  for (const auto status : {TaskStatus::leased,
                            TaskStatus::running,
                            TaskStatus::completed,
                            TaskStatus::failed,
                            TaskStatus::canceled}) {
    CHECK_FALSE(claim(held(status), NodeId("n"), LeaseId("l"), kNow, kTtl).ok());
  }
}

TEST_CASE("task rules: a heartbeat of the holder runs the task and extends the lease",
          "[market][rules]") {
  const auto who = GENERATE(kHolder, kSameNodeNoLease);
  for (const auto status : {TaskStatus::leased, TaskStatus::running}) {
    const auto beat = heartbeat(held(status), who, kNow + seconds(10), kTtl);
    REQUIRE(beat.ok());
    CHECK(beat->next.status == TaskStatus::running);
    CHECK(beat->next.lease_expires == kNow + seconds(40));
    CHECK(beat->next.last_heartbeat == kNow + seconds(10));
    CHECK_FALSE(beat->cancel);
  }
  // Expired, but not swept: nobody else has it.
  CHECK(heartbeat(held(TaskStatus::running), who, kNow + kTtl + seconds(1), kTtl).ok());
}

TEST_CASE("task rules: a heartbeat that is fenced off", "[market][rules]") {
  for (const auto& who : {kOther, kSameNodeOldLease, Reporter{}}) {
    CHECK(heartbeat(held(TaskStatus::running), who, kNow, kTtl).error().code == "lease_lost");
  }
  for (const auto& task : {queued(),
                           requeued(LastOutcome::expired),
                           requeued(LastOutcome::failed),
                           ended(TaskStatus::completed, LastOutcome::completed),
                           ended(TaskStatus::failed, LastOutcome::failed)}) {
    CHECK(heartbeat(task, kHolder, kNow, kTtl).error().code == "lease_lost");
  }
}

TEST_CASE("task rules: the holder of a canceled task is told so until its lease ends",
          "[market][rules]") {
  const auto canceled = cancel(held(TaskStatus::running), kNow);
  REQUIRE(canceled);
  CHECK(canceled->status == TaskStatus::canceled);
  CHECK(canceled->cancel_requested == kNow);
  const auto beat = heartbeat(*canceled, kHolder, kNow + seconds(29), kTtl);
  REQUIRE(beat.ok());
  CHECK(beat->cancel);
  CHECK(beat->next == *canceled);  // the lease is not extended
  CHECK_FALSE(heartbeat(*canceled, kHolder, kNow + seconds(30), kTtl).ok());
  CHECK_FALSE(heartbeat(*canceled, kOther, kNow, kTtl).ok());
  CHECK(code_of(complete(*canceled, kHolder)) == "task_canceled");
  CHECK(code_of(fail(*canceled, kHolder, how(Retry::backed_off))) == "task_canceled");
}

TEST_CASE("task rules: cancel ends what is open, once", "[market][rules]") {
  for (const auto status : {TaskStatus::queued, TaskStatus::leased, TaskStatus::running}) {
    CHECK(cancel(held(status), kNow)->status == TaskStatus::canceled);
  }
  for (const auto status : {TaskStatus::completed, TaskStatus::failed, TaskStatus::canceled}) {
    CHECK_FALSE(cancel(held(status), kNow));
  }
  // Whoever held it before it was queued again is no holder.
  const auto was_queued = cancel(requeued(LastOutcome::expired), kNow);
  CHECK_FALSE(heartbeat(*was_queued, kHolder, kNow, kTtl).ok());
}

TEST_CASE("task rules: complete", "[market][rules]") {
  struct Row {
    const char* name;
    TaskState task;
    Reporter who;
    const char* code;
    Effect effect;
  };
  const auto row = GENERATE(values<Row>({
      {"leased", held(TaskStatus::leased), kHolder, "ok", Effect::completed},
      {"running", held(TaskStatus::running), kHolder, "ok", Effect::completed},
      {"without a lease id", held(TaskStatus::running), kSameNodeNoLease, "ok", Effect::completed},
      {"after expiry, not taken over",
       requeued(LastOutcome::expired),
       kHolder,
       "ok",
       Effect::completed},
      {"again",
       ended(TaskStatus::completed, LastOutcome::completed),
       kHolder,
       "ok",
       Effect::nothing},
      {"by another", held(TaskStatus::running), kOther, "lease_lost", Effect::nothing},
      {"by an older lease",
       held(TaskStatus::running),
       kSameNodeOldLease,
       "lease_lost",
       Effect::nothing},
      {"never claimed", queued(), kHolder, "lease_lost", Effect::nothing},
      {"after fail, requeued",
       requeued(LastOutcome::failed),
       kHolder,
       "task_ended",
       Effect::nothing},
      {"after fail for good",
       ended(TaskStatus::failed, LastOutcome::failed),
       kHolder,
       "task_ended",
       Effect::nothing},
      {"after expiry for good",
       ended(TaskStatus::failed, LastOutcome::expired),
       kHolder,
       "task_ended",
       Effect::nothing},
      {"again by another",
       ended(TaskStatus::completed, LastOutcome::completed),
       kOther,
       "lease_lost",
       Effect::nothing},
  }));
  INFO(row.name);
  const auto got = complete(row.task, row.who);
  CHECK(code_of(got) == row.code);
  if (!got.ok()) return;
  CHECK(got->effect == row.effect);
  CHECK(got->next.status == TaskStatus::completed);
  CHECK(code_of(complete(got->next, row.who)) == "ok");
  CHECK(complete(got->next, row.who)->effect == Effect::nothing);
}

TEST_CASE("task rules: fail", "[market][rules]") {
  struct Row {
    const char* name;
    TaskState task;
    Reporter who;
    Retry retry;
    const char* code;
    Effect effect;
  };
  const auto yes = Retry::backed_off;
  const auto no = Retry::never;
  const auto row = GENERATE_COPY(values<Row>({
      {"first of three", held(TaskStatus::running, 1), kHolder, yes, "ok", Effect::requeued},
      {"before the first beat", held(TaskStatus::leased, 2), kHolder, yes, "ok", Effect::requeued},
      {"last of three", held(TaskStatus::running, 3), kHolder, yes, "ok", Effect::failed},
      {"cannot be mended", held(TaskStatus::running, 1), kHolder, no, "ok", Effect::failed},
      {"after expiry", requeued(LastOutcome::expired), kHolder, yes, "ok", Effect::requeued},
      {"after expiry, cannot be mended",
       requeued(LastOutcome::expired),
       kHolder,
       no,
       "ok",
       Effect::failed},
      {"again, requeued", requeued(LastOutcome::failed), kHolder, yes, "ok", Effect::nothing},
      {"again, for good",
       ended(TaskStatus::failed, LastOutcome::failed),
       kHolder,
       no,
       "ok",
       Effect::nothing},
      {"by another", held(TaskStatus::running), kOther, yes, "lease_lost", Effect::nothing},
      {"after complete",
       ended(TaskStatus::completed, LastOutcome::completed),
       kHolder,
       yes,
       "task_ended",
       Effect::nothing},
  }));
  INFO(row.name);
  const auto got = fail(row.task, row.who, how(row.retry));
  CHECK(code_of(got) == row.code);
  if (!got.ok()) return;
  CHECK(got->effect == row.effect);
  if (row.effect == Effect::requeued) CHECK(got->next.status == TaskStatus::queued);
  if (row.effect == Effect::failed) CHECK(got->next.status == TaskStatus::failed);
  CHECK(got->next.attempts == row.task.attempts);
}

TEST_CASE("task rules: a task that failed waits, longer each time, and at most a minute",
          "[market][rules]") {
  for (const auto& [attempt, longest] : std::vector<std::pair<int, seconds>>{{1, seconds(1)},
                                                                             {2, seconds(2)},
                                                                             {3, seconds(4)},
                                                                             {6, seconds(32)},
                                                                             {7, seconds(60)},
                                                                             {100, seconds(60)}}) {
    INFO(attempt);
    CHECK(retry_pause(attempt, 1) == longest);
    CHECK(retry_pause(attempt, 0) == longest / 2.0);
    CHECK(retry_pause(attempt, 0.5) == longest * 0.75);
  }
  const auto failed = fail(
      held(TaskStatus::running, 2), kHolder, {.retry = Retry::backed_off, .at = kNow, .share = 1});
  REQUIRE(failed.ok());
  const TaskState waits = failed->next;
  CHECK(waits.not_before == kNow + seconds(2));
  const auto early = claim(waits, NodeId("n"), LeaseId("l"), kNow + seconds(2) - Millis(1), kTtl);
  CHECK(early.error().code == "conflict");
  const auto later = claim(waits, NodeId("n"), LeaseId("l"), kNow + seconds(2), kTtl);
  REQUIRE(later.ok());
  CHECK(later->not_before == SystemTime());
  CHECK(cancel(waits, kNow)->not_before == SystemTime());
}

TEST_CASE("task rules: what says nothing against the task is tried again at once",
          "[market][rules]") {
  CHECK(retry_of(true, "node_shutdown") == Retry::at_once);
  CHECK(retry_of(true, "node_restarted") == Retry::at_once);
  CHECK(retry_of(true, "node_setup_failed") == Retry::backed_off);
  CHECK(retry_of(true, "") == Retry::backed_off);
  CHECK(retry_of(false, "node_shutdown") == Retry::never);
  const auto went = fail(held(TaskStatus::running, 1), kHolder, how(Retry::at_once));
  REQUIRE(went.ok());
  CHECK(went->effect == Effect::requeued);
  CHECK(went->next.not_before == SystemTime());
  CHECK(expire(held(TaskStatus::running, 1), kNow + kTtl)->next.not_before == SystemTime());
  const auto last = fail(held(TaskStatus::running, 3), kHolder, how(Retry::backed_off));
  REQUIRE(last.ok());
  CHECK(last->next.not_before == SystemTime());
}

TEST_CASE("task rules: expiry requeues, and fails with the last attempt", "[market][rules]") {
  for (const auto status : {TaskStatus::leased, TaskStatus::running}) {
    CHECK_FALSE(expire(held(status), kNow + seconds(29)));
    const auto first = expire(held(status, 1), kNow + kTtl);
    REQUIRE(first);
    CHECK(first->effect == Effect::requeued);
    CHECK(first->next.last_outcome == LastOutcome::expired);
    const auto last = expire(held(status, 3), kNow + kTtl);
    REQUIRE(last);
    CHECK(last->effect == Effect::failed);
    CHECK(last->next.status == TaskStatus::failed);
  }
  for (const auto status :
       {TaskStatus::queued, TaskStatus::completed, TaskStatus::failed, TaskStatus::canceled}) {
    CHECK_FALSE(expire(held(status), kNow + kTtl));
  }
}

TEST_CASE("task rules: a job ends with its last open task", "[market][rules]") {
  JobState job{JobStatus::pending, 3, 0};
  job = after_claim(job);
  CHECK(job.status == JobStatus::running);
  const JobState one = after_tasks_ended(job, 1, 0);
  CHECK(one == JobState{JobStatus::running, 2, 0});
  CHECK(after_tasks_ended(one, 2, 0) == JobState{JobStatus::completed, 0, 0});
  // One failed, another still runs: the job is failed once nothing of it runs.
  const JobState failed = after_tasks_ended(one, 1, 1);
  CHECK(failed == JobState{JobStatus::running, 1, 1});
  CHECK(after_tasks_ended(failed, 1, 0).status == JobStatus::failed);
  CHECK(after_tasks_ended(JobState{JobStatus::canceled, 1, 1}, 1, 0).status == JobStatus::canceled);
  CHECK(after_claim(JobState{JobStatus::canceled, 1, 1}).status == JobStatus::canceled);
}

TEST_CASE("task rules: names go both ways", "[market][rules]") {
  for (int i = 0; i < 6; ++i) {
    const auto status = static_cast<TaskStatus>(i);
    CHECK(parse_task_status(name(status)) == status);
  }
  for (int i = 0; i < 5; ++i) {
    const auto status = static_cast<JobStatus>(i);
    CHECK(parse_job_status(name(status)) == status);
  }
  for (int i = 0; i < 4; ++i) {
    const auto outcome = static_cast<LastOutcome>(i);
    CHECK(parse_last_outcome(name(outcome)) == outcome);
  }
  CHECK_FALSE(parse_task_status("pending"));
}

}  // namespace pn::market
