#include "market/jobs_service.hpp"

#include "base/awaitable.hpp"
#include "base/deadline.hpp"
#include "base/digest.hpp"
#include "base/ids.hpp"
#include "base/json.hpp"
#include "base/log.hpp"
#include "base/result.hpp"
#include "base/rng.hpp"
#include "base/time.hpp"
#include "market/context.hpp"
#include "market/identity_store.hpp"
#include "market/job_graph.hpp"
#include "market/job_queries.hpp"
#include "market/job_spec.hpp"
#include "market/job_store.hpp"
#include "market/sql_values.hpp"
#include "market/task_rules.hpp"
#include "market/tokens.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>
#include <soci/soci.h>

namespace pn::market {
namespace {

constexpr std::size_t kProgressLimit = 64 * 1024;
constexpr std::size_t kEventsKept = 50;
constexpr std::size_t kEventsLimit = 64 * 1024;

Error no_task() { return {ErrorKind::not_found, "task_missing", "there is no task with this id"}; }
Error no_job() { return {ErrorKind::not_found, "job_missing", "there is no job with this id"}; }

/// The newest events that fit, oldest first.
std::string keep_events(const std::string& old, const std::vector<std::string>& newer) {
  Json all = Json::parse(old, nullptr, false);
  if (!all.is_array()) all = Json::array();
  for (const std::string& text : newer) {
    Json event = Json::parse(text, nullptr, false);
    if (!event.is_discarded()) all.push_back(std::move(event));
  }
  while (all.size() > kEventsKept) all.erase(all.begin());
  std::string text = dump_json(all);
  while (text.size() > kEventsLimit && !all.empty()) {
    all.erase(all.begin());
    text = dump_json(all);
  }
  return text;
}

/// Every filter is an attribute of the node with the same value.
bool attributes_match(const std::string& filters, const std::string& attributes) {
  if (filters == "{}") return true;
  const Json wanted = Json::parse(filters, nullptr, false);
  const Json has = Json::parse(attributes, nullptr, false);
  if (!wanted.is_object() || !has.is_object()) return false;
  for (const auto& item : wanted.items()) {
    const auto at = has.find(item.key());
    if (at == has.end() || *at != item.value()) return false;
  }
  return true;
}

std::string idempotency_scope(const TokenClaims& who) {
  return "dds\n" + std::string(name(who.type)) + "\n" + who.subject + "\n" +
         who.organization.str() + "\n" + who.domain.str();
}

/// The job that a key is bound to already; binds it to `job` when it is free.
Result<JobId> bind_key(soci::session& session,
                       const std::string& scope,
                       const std::string& key,
                       const std::string& digest,
                       const JobId& job,
                       SystemTime now) {
  std::string known_digest;
  std::string known_job;
  session << "SELECT request_sha256, job_id FROM idempotency WHERE scope = :s AND key = :k",
      soci::use(scope), soci::use(key), soci::into(known_digest), soci::into(known_job);
  if (session.got_data()) {
    if (known_digest == digest) return JobId(known_job);
    return Error(ErrorKind::rejected,
                 "idempotency_conflict",
                 "this Idempotency-Key was used for another request; take a new key");
  }
  const long long now_ms = to_ms(now);
  session << "INSERT INTO idempotency(scope, key, request_sha256, job_id, created_ms)"
             " VALUES(:s, :k, :d, :j, :c)",
      soci::use(scope), soci::use(key), soci::use(digest), soci::use(job.str()), soci::use(now_ms);
  return job;
}

}  // namespace

JobsService::JobsService(MarketContext& context, Executor executor)
    : context_(context), queue_(std::move(executor)) {}

Result<void> JobsService::start() {
  auto classes = context_.database.write_now<std::vector<TaskClass>>(
      [](soci::session& s) -> Result<std::vector<TaskClass>> { return JobStore::classes(s); });
  if (!classes.ok()) return std::move(classes).error();
  classes_ = std::move(*classes);
  return {};
}

Awaitable<Result<void>> JobsService::reload_classes() {
  const std::function<Result<std::vector<TaskClass>>(soci::session&)> work =
      [](soci::session& s) -> Result<std::vector<TaskClass>> { return JobStore::classes(s); };
  auto classes = co_await context_.database.read<std::vector<TaskClass>>(work);
  if (!classes.ok()) co_return std::move(classes).error();
  const bool grown = classes->size() != classes_.size();
  classes_ = std::move(*classes);
  if (grown) queue_.wake_all();  // who waits does not know the new ones yet
  co_return Result<void>();
}

void JobsService::forget_node(const NodeId& node) {
  nodes_.erase(node);
  queue_.wake_all();
}

Awaitable<Result<JobId>> JobsService::submit(TokenClaims who,
                                             JobSpec spec,
                                             std::string idempotency_key) {
  if (spec.domain != who.domain) {
    co_return Error(ErrorKind::rejected, "forbidden", "the grant is for another domain");
  }
  const Result<JobGraph> graph = make_job_graph(spec);
  if (!graph.ok()) co_return graph.error();
  JobStore::NewJob job;
  job.id = JobId(make_uuid(context_.rng));
  job.organization = who.organization;
  job.spec = &spec;
  job.graph = &*graph;
  job.now = context_.clock.system_now();
  for (std::size_t i = 0; i < spec.tasks.size(); ++i) {
    job.task_ids.emplace_back(make_uuid(context_.rng));
  }
  const std::string scope = idempotency_scope(who);
  const std::string digest = idempotency_key.empty() ? "" : sha256_hex(canonical_json(spec));
  std::vector<Ready> ready;
  const std::function<Result<JobId>(soci::session&)> work = [&](soci::session& s) -> Result<JobId> {
    if (!find_domain(s, spec.domain)) {
      return Error(ErrorKind::not_found, "domain_missing", "the job's domain does not exist");
    }
    if (!idempotency_key.empty()) {
      Result<JobId> bound = bind_key(s, scope, idempotency_key, digest, job.id, job.now);
      if (!bound.ok() || *bound != job.id) return bound;
    }
    ready = JobStore::insert_job(s, job);
    return job.id;
  };
  Result<JobId> id = co_await context_.database.write<JobId>(work);
  if (!id.ok() || *id != job.id) co_return id;
  context_.logger.info("job.submitted",
                       {{"job", *id}, {"label", spec.label}, {"tasks", spec.tasks.size()}});
  // Any job may bring classes that nobody asked for before; to look is one small read.
  const Result<void> reloaded = co_await reload_classes();
  if (!reloaded.ok()) context_.logger.error("classes.failed", {log::field(reloaded.error())});
  queue_.announce(ready);
  co_return id;
}

Awaitable<Result<JobRow>> JobsService::cancel(DomainId domain, JobId id) {
  const SystemTime now = context_.clock.system_now();
  const std::function<Result<JobRow>(soci::session&)> work =
      [&](soci::session& s) -> Result<JobRow> {
    auto job = find_job(s, id);
    if (!job || job->domain != domain) return no_job();
    if (job->status == JobStatus::canceled) return std::move(*job);
    if (job->status == JobStatus::completed || job->status == JobStatus::failed) {
      return Error(ErrorKind::rejected,
                   "conflict",
                   "the job has ended as " + std::string(name(job->status)) + " already");
    }
    const TaskCounts counts = count_tasks(s, job->seq);
    JobStore::cancel_open(s, job->seq, now);
    JobState state;
    state.status = JobStatus::canceled;
    state.failed_tasks = counts[static_cast<std::size_t>(TaskStatus::failed)];
    store_.save_job(s, job->seq, state, now);
    job->status = JobStatus::canceled;
    job->updated = now;
    return std::move(*job);
  };
  Result<JobRow> job = co_await context_.database.write<JobRow>(work);
  if (job.ok()) context_.logger.info("job.canceled", {{"job", id}});
  co_return job;
}

Awaitable<Result<void>> JobsService::remove(DomainId domain, JobId id) {
  const SystemTime now = context_.clock.system_now();
  const std::function<Result<void>(soci::session&)> work = [&](soci::session& s) -> Result<void> {
    auto job = find_job(s, id);
    if (!job || job->domain != domain) return no_job();
    // Hidden at once, dropped by the sweep once no holder needs to hear that it is canceled.
    if (job->status == JobStatus::pending || job->status == JobStatus::running) {
      JobStore::cancel_open(s, job->seq, now);
      JobState state;
      state.status = JobStatus::canceled;
      store_.save_job(s, job->seq, state, now);
    }
    const long long now_ms = to_ms(now);
    s << "UPDATE jobs SET deleted_ms = :n WHERE seq = :q", soci::use(now_ms), soci::use(job->seq);
    return {};
  };
  Result<void> removed = co_await context_.database.write<void>(work);
  if (removed.ok()) context_.logger.info("job.deleted", {{"job", id}});
  co_return removed;
}

Awaitable<Result<JobsService::KnownNode>> JobsService::known_node(NodeId node) {
  if (const auto known = nodes_.find(node); known != nodes_.end()) co_return known->second;
  const std::function<Result<std::optional<NodeRow>>(soci::session&)> work =
      [&](soci::session& s) -> Result<std::optional<NodeRow>> { return find_node(s, node); };
  const auto row = co_await context_.database.read<std::optional<NodeRow>>(work);
  if (!row.ok()) co_return row.error();
  if (!row->has_value()) {
    co_return Error(ErrorKind::unauthorized, "node_gone", "this node is not registered any more");
  }
  KnownNode known;
  known.organization = (*row)->organization;
  known.attributes = (*row)->attributes;
  const Json capabilities = Json::parse((*row)->capabilities, nullptr, false);
  for (const Json& capability : capabilities) {
    if (capability.is_string()) known.capabilities.push_back(capability.get<std::string>());
  }
  nodes_[node] = known;
  co_return known;
}

std::vector<long long> JobsService::classes_for(const KnownNode& node,
                                                const std::optional<Capability>& only) const {
  std::vector<long long> out;
  for (const TaskClass& c : classes_) {
    const std::string& capability = c.capability.str();
    if (only && *only != c.capability) continue;
    if (std::find(node.capabilities.begin(), node.capabilities.end(), capability) ==
        node.capabilities.end()) {
      continue;
    }
    if (!c.organization.empty() && c.organization != node.organization) continue;
    if (attributes_match(c.filters, node.attributes)) out.push_back(c.id);
  }
  return out;
}

Awaitable<Result<std::optional<Lease>>> JobsService::claim(NodeId node,
                                                           std::optional<Capability> capability,
                                                           Deadline deadline) {
  const Result<KnownNode> known = co_await known_node(node);
  if (!known.ok()) co_return known.error();
  const std::string asker = node.str() + (capability ? capability->str() : "");
  for (;;) {
    const std::uint64_t stamp = queue_.stamp();
    std::vector<long long> classes = classes_for(*known, capability);
    if (!queue_.nothing_new(asker)) {
      Result<std::optional<ClaimedRow>> row = co_await claim_once(node, classes);
      if (!row.ok()) co_return std::move(row).error();
      if (row->has_value()) {
        Lease lease;
        lease.row = std::move(**row);
        const TaskRow& task = lease.row.task;
        lease.token = context_.tokens.mint_task(
            task.id, node, task.organization, task.domain, context_.settings.task_token_ttl);
        context_.logger.info("task.leased",
                             {{"task", task.id},
                              {"job", task.job_id},
                              {"node", node},
                              {"attempt", task.state.attempts}});
        queue_.hand_on(classes);
        std::optional<Lease> found(std::move(lease));
        co_return found;
      }
      queue_.found_nothing(asker, stamp);
    }
    // What came while the writer looked is not waited for.
    if (queue_.stamp() != stamp && !deadline.passed(context_.clock)) continue;
    if (deadline.passed(context_.clock)) co_return std::optional<Lease>();
    const bool woken = co_await queue_.wait(context_.clock, deadline, std::move(classes));
    if (!woken) co_return std::optional<Lease>();
  }
}

Awaitable<Result<std::optional<ClaimedRow>>> JobsService::claim_once(
    NodeId node, std::vector<long long> classes) {
  if (classes.empty()) co_return std::optional<ClaimedRow>();
  const SystemTime now = context_.clock.system_now();
  const LeaseId lease(make_uuid(context_.rng));
  const std::function<Result<std::optional<ClaimedRow>>(soci::session&)> work =
      [&](soci::session& s) -> Result<std::optional<ClaimedRow>> {
    return claim_now(s, node, lease, classes, now);
  };
  co_return co_await context_.database.write<std::optional<ClaimedRow>>(work);
}

std::optional<ClaimedRow> JobsService::claim_now(soci::session& session,
                                                 const NodeId& node,
                                                 const LeaseId& lease,
                                                 const std::vector<long long>& classes,
                                                 SystemTime now) {
  std::optional<ClaimedRow> best;
  for (const long long class_id : classes) {
    auto next = store_.next_ready(session, class_id);
    if (!next) continue;
    const bool better =
        !best || next->task.priority > best->task.priority ||
        (next->task.priority == best->task.priority && next->task.seq < best->task.seq);
    if (better) best = std::move(next);
  }
  if (!best) return std::nullopt;
  TaskRow& task = best->task;
  Result<TaskState> leased =
      pn::market::claim(task.state, node, lease, now, context_.settings.lease_ttl);
  if (!leased.ok()) return std::nullopt;
  task.state = std::move(*leased);
  task.token_expires = now + context_.settings.task_token_ttl;
  store_.save_task(session, task, now);
  const JobState job = after_claim(task.job);
  if (job != task.job) store_.save_job(session, task.job_seq, job, now);
  task.job = job;
  return best;
}

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
      if (report.progress) {
        task->progress = report.progress->size() <= kProgressLimit ? *report.progress : "{}";
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
    answer->token = context_.tokens.mint_task(
        task.id, report.who.node, task.organization, task.domain, settings.task_token_ttl);
  }
  co_return answer;
}

Awaitable<Result<void>> JobsService::finish(ReceiptReport report) {
  const SystemTime now = context_.clock.system_now();
  const std::string attempt_id = make_uuid(context_.rng);
  Effects effects;
  // A refused receipt is an answer, not an Error of the write: that would undo its evidence.
  const std::function<Result<std::optional<Error>>(soci::session&)> work =
      [&](soci::session& s) -> Result<std::optional<Error>> {
    return finish_now(s, report, attempt_id, now, effects);
  };
  const auto refusal = co_await context_.database.write<std::optional<Error>>(work);
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
  queue_.announce(effects.ready);
  co_return Result<void>();
}

std::optional<Error> JobsService::finish_now(soci::session& session,
                                             const ReceiptReport& report,
                                             const std::string& attempt_id,
                                             SystemTime now,
                                             Effects& effects) {
  auto task = store_.find_task(session, report.task);
  if (!task) return no_task();
  const std::string outcome = report.success ? "completed" : "failed";
  Result<Ended> ended = report.success
                            ? pn::market::complete(task->state, report.who)
                            : pn::market::fail(task->state, report.who, report.retryable);
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
      effects.ready.push_back({task.class_id, 1});
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
  constexpr int kPurgeEvery = 60;
  const SystemTime now = context_.clock.system_now();
  const std::function<Result<std::vector<TaskId>>(soci::session&)> looking =
      [&](soci::session& s) -> Result<std::vector<TaskId>> {
    return JobStore::expired(s, now, kAtOnce);
  };
  const auto found = co_await context_.database.read<std::vector<TaskId>>(looking);
  if (!found.ok()) co_return found.error();
  const bool purge = ++sweeps_ % kPurgeEvery == 0;
  if (found->empty() && !purge) co_return 0;

  std::vector<std::string> attempt_ids;
  attempt_ids.reserve(found->size());
  for (std::size_t i = 0; i < found->size(); ++i) attempt_ids.push_back(make_uuid(context_.rng));
  Effects effects;
  const std::function<Result<int>(soci::session&)> work = [&](soci::session& s) -> Result<int> {
    int expired = 0;
    for (std::size_t i = 0; i < found->size(); ++i) {
      if (expire_now(s, (*found)[i], attempt_ids[i], now, effects)) ++expired;
    }
    if (purge) {
      const long long before = to_ms(
          now - std::max<std::chrono::seconds>(context_.settings.lease_ttl, std::chrono::hours(1)));
      s << "DELETE FROM jobs WHERE deleted_ms IS NOT NULL AND deleted_ms < :b", soci::use(before);
    }
    return expired;
  };
  const Result<int> expired = co_await context_.database.write<int>(work);
  if (!expired.ok()) co_return expired.error();
  if (*expired > 0) context_.logger.warn("leases.expired", {{"count", *expired}});
  queue_.announce(effects.ready);
  co_return *expired;
}

}  // namespace pn::market
