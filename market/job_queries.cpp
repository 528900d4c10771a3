#include "market/job_queries.hpp"

#include "base/ids.hpp"
#include "market/job_store.hpp"
#include "market/sql_values.hpp"
#include "market/task_fields.hpp"
#include "market/task_rules.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <soci/soci.h>

namespace pn::market {
namespace {

using soci::into;
using soci::use;

constexpr const char* kJobColumns =
    "SELECT j.seq, j.id, j.label, j.domain_id, j.organization_id, j.status, j.priority, j.meta,"
    " j.created_ms, j.updated_ms FROM jobs j WHERE j.deleted_ms IS NULL";

struct JobFields {
  long long seq = 0, created = 0, updated = 0;
  int priority = 0;
  std::string id, label, domain, organization, status, meta;

  void bind(soci::statement& statement) {
    statement.exchange(into(seq));
    statement.exchange(into(id));
    statement.exchange(into(label));
    statement.exchange(into(domain));
    statement.exchange(into(organization));
    statement.exchange(into(status));
    statement.exchange(into(priority));
    statement.exchange(into(meta));
    statement.exchange(into(created));
    statement.exchange(into(updated));
  }

  [[nodiscard]] JobRow row() const {
    JobRow out;
    out.seq = seq;
    out.id = JobId(id);
    out.label = label;
    out.domain = DomainId(domain);
    out.organization = OrganizationId(organization);
    out.status = parse_job_status(status).value_or(JobStatus::failed);
    out.priority = priority;
    out.meta = meta;
    out.created = from_ms(created);
    out.updated = from_ms(updated);
    return out;
  }
};

/// Of a page: clients read 2 MiB of an answer, and no job's meta is above 64 KiB.
constexpr std::size_t kPageMeta = std::size_t{1024} * 1024;

/// " AND EXISTS(...)" for jobs with a task of a capability that follows as a parameter.
std::string capability_condition(const JobQuery& query) {
  if (query.capabilities.empty()) return {};
  const std::string one =
      "EXISTS(SELECT 1 FROM tasks t JOIN task_specs s ON s.task_seq = t.seq"
      " WHERE t.job_seq = j.seq AND s.capability = ?)";
  std::string all;
  for (std::size_t i = 0; i < query.capabilities.size(); ++i) {
    if (i > 0) all += query.match_all ? " AND " : " OR ";
    all += one;
  }
  return " AND (" + all + ")";
}

}  // namespace

JobPage list_jobs(soci::session& session, const JobQuery& query) {
  std::string sql = kJobColumns;
  sql += " AND j.domain_id = ?";
  if (query.before > 0) sql += " AND j.seq < ?";
  if (query.status) sql += " AND j.status = ?";
  sql += capability_condition(query);
  sql += " ORDER BY j.seq DESC LIMIT ?";

  const std::string status(query.status ? name(*query.status) : "");
  const int limit = query.limit + 1;  // one more tells whether there are more
  JobFields fields;
  soci::statement rows(session);
  rows.alloc();
  rows.prepare(sql);
  fields.bind(rows);
  rows.exchange(use(query.domain.str()));
  if (query.before > 0) rows.exchange(use(query.before));
  if (query.status) rows.exchange(use(status));
  for (const std::string& capability : query.capabilities) rows.exchange(use(capability));
  rows.exchange(use(limit));
  rows.define_and_bind();
  rows.execute();

  JobPage page;
  std::size_t meta = 0;
  while (rows.fetch()) {
    meta += fields.meta.size();
    const bool full =
        page.items.size() == static_cast<std::size_t>(query.limit) || meta > kPageMeta;
    if (full && !page.items.empty()) {
      page.next = page.items.back().job.seq;
      break;
    }
    page.items.push_back({fields.row(), {}});
  }
  for (JobItem& item : page.items) item.counts = count_tasks(session, item.job.seq);
  return page;
}

bool has_open_jobs(soci::session& session, const DomainId& domain) {
  int open = 0;
  session << "SELECT EXISTS(SELECT 1 FROM jobs WHERE domain_id = :d AND deleted_ms IS NULL"
             " AND status IN ('pending', 'running'))",
      use(domain.str()), into(open);
  return open != 0;
}

std::optional<JobRow> find_job(soci::session& session, const JobId& id) {
  JobFields fields;
  soci::statement rows(session);
  rows.alloc();
  rows.prepare(std::string(kJobColumns) + " AND j.id = ?");
  fields.bind(rows);
  rows.exchange(use(id.str()));
  rows.define_and_bind();
  rows.execute();
  if (!rows.fetch()) return std::nullopt;
  return fields.row();
}

TaskCounts count_tasks(soci::session& session, long long job_seq) {
  TaskCounts counts{};
  std::string status;
  int count = 0;
  soci::statement rows =
      (session.prepare << "SELECT status, count(*) FROM tasks WHERE job_seq = :j GROUP BY status",
       use(job_seq),
       into(status),
       into(count));
  rows.execute();
  while (rows.fetch()) {
    const auto known = parse_task_status(status);
    if (known) counts.at(static_cast<std::size_t>(*known)) = count;
  }
  return counts;
}

std::vector<ShownTask> tasks_of_job(soci::session& session, long long job_seq) {
  TaskFields task;
  SpecFields spec;
  long long created = 0;
  long long updated = 0;
  soci::statement rows(session);
  rows.alloc();
  rows.prepare(std::string("SELECT ") + TaskFields::kColumns + ", " + SpecFields::kColumns +
               ", t.created_ms, t.updated_ms" + kTasksAndJobs + kTheirSpecs +
               " WHERE t.job_seq = :j ORDER BY t.seq");
  task.bind(rows);
  spec.bind(rows);
  rows.exchange(into(created));
  rows.exchange(into(updated));
  rows.exchange(use(job_seq));
  rows.define_and_bind();
  rows.execute();
  std::vector<ShownTask> out;
  while (rows.fetch()) {
    out.push_back({task.row(), spec.row(), from_ms(created), from_ms(updated)});
  }
  return out;
}

std::vector<ShownAttempt> attempts_of_job(soci::session& session, long long job_seq) {
  std::vector<ShownAttempt> out;
  std::string id, task, node, outcome, reason, outputs, meta;
  int attempt = 0;
  long long started = 0, ended = 0;
  soci::statement rows =
      (session.prepare << "SELECT a.id, t.id, a.attempt, a.node_id, a.outcome, a.reason, a.outputs,"
                          " a.meta, a.started_ms, a.ended_ms FROM attempts a"
                          " JOIN tasks t ON t.seq = a.task_seq WHERE a.job_seq = :j ORDER BY a.seq",
       use(job_seq),
       into(id),
       into(task),
       into(attempt),
       into(node),
       into(outcome),
       into(reason),
       into(outputs),
       into(meta),
       into(started),
       into(ended));
  rows.execute();
  while (rows.fetch()) {
    ShownAttempt shown;
    shown.id = id;
    shown.task = TaskId(task);
    shown.attempt = attempt;
    shown.node = NodeId(node);
    shown.outcome = outcome;
    shown.reason = reason;
    shown.outputs = outputs;
    shown.meta = meta;
    shown.started = from_ms(started);
    shown.ended = from_ms(ended);
    out.push_back(std::move(shown));
  }
  return out;
}

std::vector<BusyNode> busy_nodes(soci::session& session, const DomainId& domain) {
  std::vector<BusyNode> out;
  std::string node, task, job, capability;
  long long expires = 0;
  soci::statement rows =
      (session.prepare << "SELECT t.node_id, t.id, j.id, s.capability, t.lease_expires_ms"
                          " FROM tasks t CROSS JOIN jobs j ON j.seq = t.job_seq"
                          " CROSS JOIN task_specs s ON s.task_seq = t.seq"
                          " WHERE t.status IN ('leased', 'running') AND j.domain_id = :d"
                          " ORDER BY t.node_id, t.seq",
       use(domain.str()),
       into(node),
       into(task),
       into(job),
       into(capability),
       into(expires));
  rows.execute();
  while (rows.fetch()) {
    out.push_back(
        {NodeId(node), TaskId(task), JobId(job), Capability(capability), from_ms(expires)});
  }
  return out;
}

}  // namespace pn::market
