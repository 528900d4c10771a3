#include "market/jobs_service.hpp"

#include "base/awaitable.hpp"
#include "base/digest.hpp"
#include "base/ids.hpp"
#include "base/log.hpp"
#include "base/result.hpp"
#include "base/rng.hpp"
#include "base/time.hpp"
#include "market/context.hpp"
#include "market/database.hpp"
#include "market/identity_store.hpp"
#include "market/job_graph.hpp"
#include "market/job_insert.hpp"
#include "market/job_queries.hpp"
#include "market/job_spec.hpp"
#include "market/job_store.hpp"
#include "market/sql_values.hpp"
#include "market/task_classes.hpp"
#include "market/task_rules.hpp"
#include "market/tokens.hpp"

#include <cstddef>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <soci/soci.h>

namespace pn::market {
namespace {

Error no_job() { return {ErrorKind::not_found, "job_missing", "there is no job with this id"}; }

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
    : context_(context), queue_(executor), sooner_(std::move(executor)) {}

Result<void> JobsService::start() {
  auto classes = context_.database.write_now<std::vector<TaskClass>>(
      [](soci::session& s) -> Result<std::vector<TaskClass>> { return list_task_classes(s); });
  if (!classes.ok()) return std::move(classes).error();
  classes_.learn(*classes);
  return {};
}

void JobsService::announce(const Effects& effects) {
  queue_.announce(effects.ready);
  if (effects.held) release_by(*effects.held);
}

Awaitable<Result<JobId>> JobsService::submit(TokenClaims who,
                                             JobSpec spec,
                                             std::string idempotency_key) {
  if (spec.domain != who.domain) {
    co_return Error(ErrorKind::rejected, "forbidden", "the grant is for another domain");
  }
  const Result<JobGraph> graph = make_job_graph(spec);
  if (!graph.ok()) co_return graph.error();
  NewJob job;
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
    ready = insert_job(s, job);
    return job.id;
  };
  // Who is answered does not submit it again.
  Result<JobId> id = co_await context_.database.write<JobId>(work, Durable::yes);
  if (!id.ok() || *id != job.id) co_return id;
  context_.logger.info("job.submitted",
                       {{"job", *id}, {"label", spec.label}, {"tasks", spec.tasks.size()}});
  // Any job may bring classes that nobody asked for before; to look is one small read.
  co_await reload_classes(Idle::keep);
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

}  // namespace pn::market
