#include "market/job_insert.hpp"

#include "base/ids.hpp"
#include "base/json.hpp"
#include "base/time.hpp"
#include "market/job_graph.hpp"
#include "market/job_spec.hpp"
#include "market/job_store.hpp"
#include "market/sql_values.hpp"
#include "market/task_classes.hpp"
#include "market/tokens.hpp"

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>
#include <soci/soci.h>

namespace pn::market {
namespace {

using soci::into;
using soci::use;

/// The classes of a new job's tasks, each looked up once.
class ClassIds {
 public:
  explicit ClassIds(soci::session& session) : session_(session) {}

  long long id_of(const TaskSpec& task, const OrganizationId& submitter) {
    std::string organization = task.organization_filter.value_or("");
    if (organization.empty() && task.mode == "dedicated") organization = submitter.str();
    const std::string& capability = task.capability.str();
    const std::string key =
        capability + "\n" + task.filters + "\n" + task.mode + "\n" + organization;
    if (const auto known = known_.find(key); known != known_.end()) return known->second;
    session_ << "INSERT OR IGNORE INTO task_classes(capability, filters, mode, organization_id)"
                " VALUES(:c, :f, :m, :o)",
        use(capability), use(task.filters), use(task.mode), use(organization);
    long long id = 0;
    session_ << "SELECT id FROM task_classes WHERE capability = :c AND filters = :f AND mode = :m"
                " AND organization_id = :o",
        use(capability), use(task.filters), use(task.mode), use(organization), into(id);
    known_.emplace(key, id);
    return id;
  }

 private:
  soci::session& session_;
  std::map<std::string, long long> known_;
};

/// Where a task stands in its job.
struct Place {
  long long stage_no = 0;
  int deps = 0;
  long long class_id = 0;
};

/// Inserts a task's two rows, with statements that are prepared once for all tasks of a job.
class TaskInserter {
 public:
  TaskInserter(soci::session& session, long long job_seq, SystemTime now)
      : job_seq_(job_seq),
        now_(to_ms(now)),
        task_((session.prepare
                   << "INSERT INTO tasks(id, job_seq, stage_no, class_id, status, priority,"
                      " deps_remaining, attempts, max_attempts, node_id, lease_id,"
                      " last_outcome, leased_ms, lease_expires_ms, token_expires_ms,"
                      " last_heartbeat_ms, cancel_requested_ms, created_ms, updated_ms,"
                      " progress, events) VALUES(:i, :j, :s, :c, 'queued', :p, :d, 0, :m, '',"
                      " '', 'none', 0, 0, 0, 0, 0, :n, :u, '{}', '[]')",
               use(id_),
               use(job_seq_),
               use(place_.stage_no),
               use(place_.class_id),
               use(spec_.priority),
               use(place_.deps),
               use(spec_.max_attempts),
               use(now_),
               use(now_))),
        last_((session.prepare << "SELECT last_insert_rowid()", into(task_seq_))),
        its_spec_((session.prepare
                       << "INSERT INTO task_specs(task_seq, label, stage, capability, filters,"
                          " mode, inputs, outputs_prefix, meta, organization_filter,"
                          " billing_units) VALUES(:q, :l, :s, :c, :f, :m, :i, :p, :t, :o, :b)",
                   use(task_seq_),
                   use(spec_.label),
                   use(spec_.stage),
                   use(capability_),
                   use(spec_.filters),
                   use(spec_.mode),
                   use(inputs_),
                   use(prefix_, has_prefix_),
                   use(spec_.meta),
                   use(organization_, has_organization_),
                   use(spec_.billing_units))) {}
  TaskInserter(const TaskInserter&) = delete;
  TaskInserter& operator=(const TaskInserter&) = delete;

  void insert(const TaskId& id, const TaskSpec& spec, const Place& place) {
    id_ = id.str();
    spec_ = spec;
    place_ = place;
    task_.execute(true);
    // Past its one row, too: a statement left in the middle would keep the transaction open.
    if (last_.execute(true)) last_.fetch();
    capability_ = spec.capability.str();
    inputs_ = dump_json(Json(spec.inputs_cids));
    prefix_ = spec.outputs_prefix.value_or("");
    has_prefix_ = spec.outputs_prefix ? soci::i_ok : soci::i_null;
    organization_ = spec.organization_filter.value_or("");
    has_organization_ = spec.organization_filter ? soci::i_ok : soci::i_null;
    its_spec_.execute(true);
  }

 private:
  // What the statements are bound to: never moves once they are prepared.
  long long job_seq_;
  long long now_;
  long long task_seq_ = 0;
  TaskSpec spec_;
  Place place_;
  std::string id_, capability_, inputs_, prefix_, organization_;
  soci::indicator has_prefix_ = soci::i_null;
  soci::indicator has_organization_ = soci::i_null;
  soci::statement task_;
  soci::statement last_;
  soci::statement its_spec_;
};

/// Answers the job's sequence number.
long long insert_job_row(soci::session& session, const NewJob& job) {
  const JobSpec& spec = *job.spec;
  const long long now = to_ms(job.now);
  const int tasks = static_cast<int>(spec.tasks.size());
  const int has_edges = job.graph->edges.empty() ? 0 : 1;
  long long job_seq = 0;
  session << "INSERT INTO jobs(id, domain_id, organization_id, label, status, priority, meta,"
             " open_tasks, failed_tasks, has_edges, created_ms, updated_ms)"
             " VALUES(:i, :d, :o, :l, 'pending', :p, :m, :t, 0, :e, :c, :u)",
      use(job.id.str()), use(spec.domain.str()), use(job.organization.str()), use(spec.label),
      use(spec.priority), use(spec.meta), use(tasks), use(has_edges), use(now), use(now);
  session << "SELECT last_insert_rowid()", into(job_seq);
  return job_seq;
}

void insert_edges(soci::session& session, long long job_seq, const JobGraph& graph) {
  struct {
    long long from = 0;
    long long to = 0;
  } bound;
  soci::statement edge =
      (session.prepare << "INSERT INTO stage_edges(job_seq, from_no, to_no) VALUES(:j, :f, :t)",
       use(job_seq),
       use(bound.from),
       use(bound.to));
  for (const auto& e : graph.edges) {
    bound.from = static_cast<long long>(e.from);
    bound.to = static_cast<long long>(e.to);
    edge.execute(true);
  }
}

}  // namespace

std::vector<Ready> insert_job(soci::session& session, const NewJob& job) {
  const JobSpec& spec = *job.spec;
  const JobGraph& graph = *job.graph;
  const long long job_seq = insert_job_row(session, job);
  insert_edges(session, job_seq, graph);

  ClassIds class_ids(session);
  TaskInserter inserter(session, job_seq, job.now);
  std::map<long long, int> ready;
  for (std::size_t i = 0; i < spec.tasks.size(); ++i) {
    const std::size_t stage = graph.stage_of_task[i];
    Place place;
    place.stage_no = static_cast<long long>(stage);
    place.deps = static_cast<int>(graph.deps_of_stage[stage]);
    place.class_id = class_ids.id_of(spec.tasks[i], job.organization);
    inserter.insert(job.task_ids[i], spec.tasks[i], place);
    if (place.deps == 0) ++ready[place.class_id];
  }
  std::vector<Ready> out;
  out.reserve(ready.size());
  for (const auto& [class_of, count] : ready) out.push_back({class_of, count});
  return out;
}

std::vector<TaskClass> list_task_classes(soci::session& session) {
  std::vector<TaskClass> out;
  long long id = 0;
  std::string capability, filters, organization;
  soci::statement rows =
      (session.prepare
           << "SELECT c.id, c.capability, c.filters, c.organization_id"
              " FROM task_classes c WHERE EXISTS(SELECT 1 FROM tasks t"
              " WHERE t.class_id = c.id AND t.status IN ('queued', 'leased', 'running'))",
       into(id),
       into(capability),
       into(filters),
       into(organization));
  rows.execute();
  while (rows.fetch()) {
    out.push_back({id, Capability(capability), filters, OrganizationId(organization)});
  }
  return out;
}

}  // namespace pn::market
