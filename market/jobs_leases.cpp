#include "base/awaitable.hpp"
#include "base/ids.hpp"
#include "base/log.hpp"
#include "base/result.hpp"
#include "base/rng.hpp"
#include "base/time.hpp"
#include "market/context.hpp"
#include "market/database.hpp"
#include "market/job_store.hpp"
#include "market/jobs_service.hpp"
#include "market/settings.hpp"
#include "market/sql_values.hpp"
#include "market/task_events.hpp"
#include "market/task_rules.hpp"
#include "market/tokens.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <soci/soci.h>

namespace pn::market {
namespace {

constexpr std::size_t kProgressLimit = 64 * 1024;

Error no_task() { return {ErrorKind::not_found, "task_missing", "there is no task with this id"}; }

}  // namespace

Awaitable<Result<HeartbeatAnswer>> JobsService::heartbeat(HeartbeatReport report) {
  const SystemTime now = context_.clock.system_now();
  const MarketSettings& settings = context_.settings;
  bool wants_token = false;
  const std::function<Result<HeartbeatAnswer>(soci::session&)> work =
      [&](soci::session& s) -> Result<HeartbeatAnswer> {
    auto task = store_.find_task(s, report.task);
    if (!task) return no_task();
    Result<Beat> beat = pn::market::heartbeat(task->state, report.who, now, settings.lease_ttl);
    if (!beat.ok()) return std::move(beat).error();
    HeartbeatAnswer answer;
    answer.cancel = beat->cancel;
    task->state = std::move(beat->next);
    if (!beat->cancel) {
      wants_token = now + settings.task_token_ttl / 2 > task->token_expires;
      if (wants_token) task->token_expires = now + settings.task_token_ttl;
      // One that is too long is passed over: the last good one says more than none.
      if (report.progress && report.progress->size() <= kProgressLimit) {
        task->progress = *report.progress;
      }
      if (!report.events.empty()) task->events = keep_events(task->events, report.events);
      store_.save_beat(s, *task, now);
    }
    answer.task = std::move(*task);
    return answer;
  };
  Result<HeartbeatAnswer> answer = co_await context_.database.write<HeartbeatAnswer>(work);
  if (answer.ok() && wants_token) {
    const TaskRow& task = answer->task;
    answer->token = context_.tokens.mint_task(task.id,
                                              task.state.lease,
                                              report.who.node,
                                              task.organization,
                                              task.domain,
                                              settings.task_token_ttl);
  }
  co_return answer;
}

Awaitable<Result<void>> JobsService::finish(ReceiptReport report) {
  const SystemTime now = context_.clock.system_now();
  const std::string attempt_id = make_uuid(context_.rng);
  const FailedAttempt failed{.retry = retry_of(report.retryable, report.reason),
                             .at = now,
                             .share = uniform(context_.rng, 0.0, 1.0)};
  Effects effects;
  // A refused receipt is an answer, not an Error of the write: that would undo its evidence.
  const std::function<Result<std::optional<Error>>(soci::session&)> work =
      [&](soci::session& s) -> Result<std::optional<Error>> {
    return finish_now(s, report, attempt_id, failed, effects);
  };
  // Its node forgets the outcome once it is answered.
  const auto refusal = co_await context_.database.write<std::optional<Error>>(work, Durable::yes);
  if (!refusal.ok()) co_return refusal.error();
  const char* const outcome = report.success ? "completed" : "failed";
  if (refusal->has_value()) {
    context_.logger.warn("receipt.refused",
                         {{"task", report.task},
                          {"node", report.who.node},
                          {"outcome", outcome},
                          log::field(**refusal)});
    co_return **refusal;
  }
  context_.logger.info("receipt.accepted",
                       {{"task", report.task},
                        {"node", report.who.node},
                        {"outcome", outcome},
                        {"reason", report.reason}});
  announce(effects);
  co_return Result<void>();
}

std::optional<Error> JobsService::finish_now(soci::session& session,
                                             const ReceiptReport& report,
                                             const std::string& attempt_id,
                                             const FailedAttempt& failed,
                                             Effects& effects) {
  const SystemTime now = failed.at;
  auto task = store_.find_task(session, report.task);
  if (!task) return no_task();
  const std::string outcome = report.success ? "completed" : "failed";
  Result<Ended> ended = report.success ? pn::market::complete(task->state, report.who)
                                       : pn::market::fail(task->state, report.who, failed);
  AttemptRow attempt;
  attempt.id = attempt_id;
  attempt.outcome = outcome;
  attempt.who = report.who;
  attempt.reason = report.reason;
  attempt.outputs = report.outputs;
  attempt.meta = report.meta;
  attempt.ended = now;
  if (!ended.ok()) {
    // The task may have gone on to others since this lease's receipt was accepted.
    if (!report.who.lease.empty() && JobStore::has_attempt(session, *task, report.who, outcome)) {
      return std::nullopt;
    }
    if (const auto number = JobStore::expired_attempt(session, *task, report.who)) {
      attempt.outcome = "late";
      attempt.reason =
          report.success ? "completed, too late" : "failed, too late: " + report.reason;
      task->state.attempts = *number;
      store_.add_attempt(session, *task, attempt);
    }
    return std::move(ended).error();
  }
  if (ended->effect == Effect::nothing) return std::nullopt;
  attempt.who.lease = task->state.lease;  // also when the node did not name it
  store_.add_attempt(session, *task, attempt);
  apply_end(session, *task, *ended, now, effects);
  return std::nullopt;
}

void JobsService::apply_end(
    soci::session& session, TaskRow& task, const Ended& ended, SystemTime now, Effects& effects) {
  task.state = ended.next;
  store_.save_task(session, task, now);
  switch (ended.effect) {
    case Effect::nothing:
      return;
    case Effect::requeued:
      if (task.state.not_before == SystemTime()) {
        effects.ready.push_back({task.class_id, 1});
      } else {
        effects.held = task.state.not_before;
      }
      return;
    case Effect::completed:
      if (task.has_edges) {
        const auto ready = JobStore::release_waiting(session, task, now);
        effects.ready.insert(effects.ready.end(), ready.begin(), ready.end());
      }
      store_.save_job(session, task.job_seq, after_tasks_ended(task.job, 1, 0), now);
      return;
    case Effect::failed: {
      const int canceled = task.has_edges ? JobStore::cancel_waiting(session, task, now) : 0;
      store_.save_job(session, task.job_seq, after_tasks_ended(task.job, 1 + canceled, 1), now);
      return;
    }
  }
}

bool JobsService::expire_now(soci::session& session,
                             const TaskId& id,
                             const std::string& attempt_id,
                             SystemTime now,
                             Effects& effects) {
  auto task = store_.find_task(session, id);
  if (!task) return false;
  const auto ended = expire(task->state, now);
  if (!ended) return false;
  AttemptRow attempt;
  attempt.id = attempt_id;
  attempt.outcome = "expired";
  attempt.who = Reporter{.node = task->state.node, .lease = task->state.lease};
  attempt.reason = "the node was not heard of until its lease ended";
  attempt.ended = now;
  store_.add_attempt(session, *task, attempt);
  apply_end(session, *task, *ended, now, effects);
  return true;
}

Awaitable<Result<int>> JobsService::sweep() {
  constexpr int kAtOnce = 500;
  constexpr int kTidyEvery = 60;
  const bool tidies = ++sweeps_ % kTidyEvery == 0;
  const Idle idle = tidies ? Idle::drop : Idle::keep;
  const bool behind = std::exchange(classes_behind_, false);
  if (behind || tidies) co_await reload_classes(idle);
  const SystemTime now = context_.clock.system_now();
  const std::function<Result<std::vector<TaskId>>(soci::session&)> looking =
      [&](soci::session& s) -> Result<std::vector<TaskId>> {
    return JobStore::expired(s, now, kAtOnce);
  };
  const auto found = co_await context_.database.read<std::vector<TaskId>>(looking);
  if (!found.ok()) co_return found.error();
  const bool purge = std::exchange(purging_, false) || tidies;
  if (found->empty() && !purge) co_return 0;

  std::vector<std::string> attempt_ids;
  attempt_ids.reserve(found->size());
  for (std::size_t i = 0; i < found->size(); ++i) attempt_ids.push_back(make_uuid(context_.rng));
  Effects effects;
  bool purged = false;
  const std::function<Result<int>(soci::session&)> work = [&](soci::session& s) -> Result<int> {
    int expired = 0;
    for (std::size_t i = 0; i < found->size(); ++i) {
      if (expire_now(s, (*found)[i], attempt_ids[i], now, effects)) ++expired;
    }
    if (purge) {
      const long long before = to_ms(
          now - std::max<std::chrono::seconds>(context_.settings.lease_ttl, std::chrono::hours(1)));
      // One: of ten thousand tasks it holds the only writer long enough.
      soci::statement removal = (s.prepare << "DELETE FROM jobs WHERE seq IN (SELECT seq FROM jobs "
                                              "WHERE deleted_ms < :b ORDER BY deleted_ms LIMIT 1)",
                                 soci::use(before));
      removal.execute(true);
      purged = removal.get_affected_rows() > 0;
    }
    return expired;
  };
  const Result<int> expired = co_await context_.database.write<int>(work);
  if (!expired.ok()) co_return expired.error();
  purging_ = purged;
  if (*expired > 0) context_.logger.warn("leases.expired", {{"count", *expired}});
  announce(effects);
  co_return *expired;
}

}  // namespace pn::market
