#include "market/job_store.hpp"

#include "base/json.hpp"
#include "market/job_graph.hpp"
#include "market/job_spec.hpp"
#include "market/sql_values.hpp"
#include "market/task_rules.hpp"

#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>
#include <soci/soci.h>

namespace pn::market {
namespace {

using soci::into;
using soci::use;

// CROSS JOIN: SQLite then keeps this order, and with it the order of the index.
constexpr const char* kTaskColumns =
    "SELECT t.seq, t.job_seq, t.class_id, t.stage_no, t.id, t.priority, t.status, t.deps_remaining,"
    " t.attempts, t.max_attempts, t.node_id, t.lease_id, t.last_outcome, t.leased_ms,"
    " t.lease_expires_ms, t.token_expires_ms, t.last_heartbeat_ms, t.cancel_requested_ms,"
    " t.progress, t.events, j.id, j.domain_id, j.organization_id, j.status, j.open_tasks,"
    " j.failed_tasks, j.has_edges";
constexpr const char* kSpecColumns =
    ", s.label, s.stage, s.capability, s.filters, s.mode, s.inputs, s.outputs_prefix, s.meta,"
    " s.organization_filter, s.billing_units";

struct TaskFields {
  long long seq = 0, job_seq = 0, class_id = 0, stage_no = 0, leased = 0, expires = 0;
  long long token_expires = 0, heartbeat = 0, cancel_requested = 0;
  int priority = 0, deps = 0, attempts = 0, max_attempts = 0, open = 0, failed = 0, has_edges = 0;
  std::string id, status, node, lease, outcome, progress, events;
  std::string job_id, domain, organization, job_status;

  template <class Prepare>
  auto bind(Prepare&& prepare) {
    return (std::forward<Prepare>(prepare),
            into(seq),
            into(job_seq),
            into(class_id),
            into(stage_no),
            into(id),
            into(priority),
            into(status),
            into(deps),
            into(attempts),
            into(max_attempts),
            into(node),
            into(lease),
            into(outcome),
            into(leased),
            into(expires),
            into(token_expires),
            into(heartbeat),
            into(cancel_requested),
            into(progress),
            into(events),
            into(job_id),
            into(domain),
            into(organization),
            into(job_status),
            into(open),
            into(failed),
            into(has_edges));
  }

  [[nodiscard]] TaskRow row() const {
    TaskRow out;
    out.seq = seq;
    out.job_seq = job_seq;
    out.class_id = class_id;
    out.stage_no = stage_no;
    out.id = TaskId(id);
    out.priority = priority;
    out.state.status = parse_task_status(status).value_or(TaskStatus::failed);
    out.state.deps_remaining = deps;
    out.state.attempts = attempts;
    out.state.max_attempts = max_attempts;
    out.state.node = NodeId(node);
    out.state.lease = LeaseId(lease);
    out.state.last_outcome = parse_last_outcome(outcome).value_or(LastOutcome::none);
    out.state.leased_at = from_ms(leased);
    out.state.lease_expires = from_ms(expires);
    out.state.last_heartbeat = from_ms(heartbeat);
    out.state.cancel_requested = from_ms(cancel_requested);
    out.token_expires = from_ms(token_expires);
    out.progress = progress;
    out.events = events;
    out.job_id = JobId(job_id);
    out.domain = DomainId(domain);
    out.organization = OrganizationId(organization);
    out.job.status = parse_job_status(job_status).value_or(JobStatus::failed);
    out.job.open_tasks = open;
    out.job.failed_tasks = failed;
    out.has_edges = has_edges != 0;
    return out;
  }
};

/// Runs a prepared SELECT of one row. Steps past that row: a statement left in the middle of its
/// rows would keep the transaction open.
bool fetch_one(soci::statement& statement) {
  const bool found = statement.execute(true);
  if (found) statement.fetch();
  return found;
}

// The hot statements, each with what it is bound to: members never move once it is prepared.

struct FindTask {
  explicit FindTask(soci::session& s)
      : statement((fields.bind(s.prepare << kTaskColumns
                                         << " FROM tasks t CROSS JOIN jobs j ON j.seq = t.job_seq"
                                            " WHERE t.id = :id"),
                   use(id))) {}
  std::string id;
  TaskFields fields;
  soci::statement statement;
};

struct NextReady {
  explicit NextReady(soci::session& s)
      : statement((fields.bind(s.prepare << kTaskColumns << kSpecColumns
                                         << " FROM tasks t CROSS JOIN jobs j ON j.seq = t.job_seq"
                                            " CROSS JOIN task_specs s ON s.task_seq = t.seq"
                                            " WHERE t.class_id = :c AND t.status = 'queued'"
                                            " AND t.deps_remaining = 0"
                                            " ORDER BY t.priority DESC, t.seq LIMIT 1"),
                   into(label),
                   into(stage),
                   into(capability),
                   into(filters),
                   into(mode),
                   into(inputs),
                   into(prefix, has_prefix),
                   into(meta),
                   into(organization, has_organization),
                   into(units),
                   use(class_id))) {}

  [[nodiscard]] TaskSpecRow spec() const {
    TaskSpecRow out;
    out.label = label;
    out.stage = stage;
    out.capability = Capability(capability);
    out.filters = filters;
    out.mode = mode;
    out.inputs = inputs;
    if (has_prefix == soci::i_ok) out.outputs_prefix = prefix;
    out.meta = meta;
    if (has_organization == soci::i_ok) out.organization_filter = organization;
    out.billing_units = units;
    return out;
  }

  long long class_id = 0;
  TaskFields fields;
  std::string label, stage, capability, filters, mode, inputs, prefix, meta, organization, units;
  soci::indicator has_prefix = soci::i_null;
  soci::indicator has_organization = soci::i_null;
  soci::statement statement;
};

/// What both ways of saving a task bind.
struct TaskValues {
  void take(const TaskRow& row, SystemTime time) {
    seq = row.seq;
    status = name(row.state.status);
    attempts = row.state.attempts;
    node = row.state.node.str();
    lease = row.state.lease.str();
    outcome = name(row.state.last_outcome);
    leased = to_ms(row.state.leased_at);
    expires = to_ms(row.state.lease_expires);
    token_expires = to_ms(row.token_expires);
    heartbeat = to_ms(row.state.last_heartbeat);
    cancel_requested = to_ms(row.state.cancel_requested);
    progress = row.progress;
    events = row.events;
    now = to_ms(time);
  }

  int attempts = 0;
  std::string status, node, lease, outcome, progress, events;
  long long seq = 0, leased = 0, expires = 0, token_expires = 0, heartbeat = 0;
  long long cancel_requested = 0, now = 0;
};

struct SaveTask {
  explicit SaveTask(soci::session& s)
      : statement((s.prepare << "UPDATE tasks SET status = :s, attempts = :a, node_id = :n,"
                                " lease_id = :l, last_outcome = :o, leased_ms = :b,"
                                " lease_expires_ms = :e, token_expires_ms = :t,"
                                " last_heartbeat_ms = :h, cancel_requested_ms = :c, updated_ms = :u"
                                " WHERE seq = :q",
                   use(v.status),
                   use(v.attempts),
                   use(v.node),
                   use(v.lease),
                   use(v.outcome),
                   use(v.leased),
                   use(v.expires),
                   use(v.token_expires),
                   use(v.heartbeat),
                   use(v.cancel_requested),
                   use(v.now),
                   use(v.seq))) {}
  TaskValues v;
  soci::statement statement;
};

struct SaveBeat {
  explicit SaveBeat(soci::session& s)
      : statement((s.prepare << "UPDATE tasks SET status = :s, lease_expires_ms = :e,"
                                " token_expires_ms = :t, last_heartbeat_ms = :h, updated_ms = :u,"
                                " progress = :p, events = :v WHERE seq = :q",
                   use(v.status),
                   use(v.expires),
                   use(v.token_expires),
                   use(v.heartbeat),
                   use(v.now),
                   use(v.progress),
                   use(v.events),
                   use(v.seq))) {}
  TaskValues v;
  soci::statement statement;
};

struct SaveJob {
  explicit SaveJob(soci::session& s)
      : statement((s.prepare << "UPDATE jobs SET status = :s, open_tasks = :o, failed_tasks = :f,"
                                " updated_ms = :u WHERE seq = :q",
                   use(status),
                   use(open),
                   use(failed),
                   use(now),
                   use(seq))) {}
  std::string status;
  int open = 0, failed = 0;
  long long now = 0, seq = 0;
  soci::statement statement;
};

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

}  // namespace

struct JobStore::Hot {
  explicit Hot(soci::session& s) : find(s), next(s), save_task(s), save_beat(s), save_job(s) {}
  FindTask find;
  NextReady next;
  SaveTask save_task;
  SaveBeat save_beat;
  SaveJob save_job;
};

JobStore::JobStore() = default;
JobStore::~JobStore() = default;

JobStore::Hot& JobStore::hot(soci::session& session) {
  if (!hot_) hot_ = std::make_unique<Hot>(session);
  return *hot_;
}

std::optional<ClaimedRow> JobStore::next_ready(soci::session& session, long long class_id) {
  NextReady& next = hot(session).next;
  next.class_id = class_id;
  if (!fetch_one(next.statement)) return std::nullopt;
  ClaimedRow out;
  out.task = next.fields.row();
  out.spec = next.spec();
  return out;
}

std::optional<TaskRow> JobStore::find_task(soci::session& session, const TaskId& id) {
  FindTask& find = hot(session).find;
  find.id = id.str();
  if (!fetch_one(find.statement)) return std::nullopt;
  return find.fields.row();
}

void JobStore::save_task(soci::session& session, const TaskRow& row, SystemTime now) {
  SaveTask& save = hot(session).save_task;
  save.v.take(row, now);
  save.statement.execute(true);
}

void JobStore::save_beat(soci::session& session, const TaskRow& row, SystemTime now) {
  SaveBeat& save = hot(session).save_beat;
  save.v.take(row, now);
  save.statement.execute(true);
}

void JobStore::save_job(soci::session& session,
                        long long job_seq,
                        const JobState& job,
                        SystemTime now) {
  SaveJob& save = hot(session).save_job;
  save.status = name(job.status);
  save.open = job.open_tasks;
  save.failed = job.failed_tasks;
  save.now = to_ms(now);
  save.seq = job_seq;
  save.statement.execute(true);
}

void JobStore::add_attempt(soci::session& session, const TaskRow& task, const AttemptRow& attempt) {
  const long long started = to_ms(task.state.leased_at);
  const long long ended = to_ms(attempt.ended);
  session << "INSERT OR IGNORE INTO attempts(id, job_seq, task_seq, attempt, node_id, lease_id,"
             " outcome, reason, outputs, meta, started_ms, ended_ms)"
             " VALUES(:i, :j, :t, :a, :n, :l, :o, :r, :out, :m, :s, :e)",
      use(attempt.id), use(task.job_seq), use(task.seq), use(task.state.attempts),
      use(attempt.who.node.str()), use(attempt.who.lease.str()), use(attempt.outcome),
      use(attempt.reason), use(attempt.outputs), use(attempt.meta), use(started), use(ended);
}

bool JobStore::has_attempt(soci::session& session,
                           const TaskRow& task,
                           const Reporter& who,
                           const std::string& outcome) {
  int found = 0;
  session << "SELECT count(*) FROM attempts WHERE task_seq = :t AND lease_id = :l AND node_id = :n"
             " AND outcome = :o",
      use(task.seq), use(who.lease.str()), use(who.node.str()), use(outcome), into(found);
  return found > 0;
}

std::optional<int> JobStore::expired_attempt(soci::session& session,
                                             const TaskRow& task,
                                             const Reporter& who) {
  int attempt = 0;
  const std::string& lease = who.lease.str();
  session << "SELECT attempt FROM attempts WHERE task_seq = :t AND node_id = :n"
             " AND outcome = 'expired' AND (:l = '' OR lease_id = :k) ORDER BY seq DESC LIMIT 1",
      use(task.seq), use(who.node.str()), use(lease), use(lease), into(attempt);
  if (!session.got_data()) return std::nullopt;
  return attempt;
}

std::vector<Ready> JobStore::release_waiting(soci::session& session,
                                             const TaskRow& task,
                                             SystemTime now) {
  const long long now_ms = to_ms(now);
  session << "UPDATE tasks SET deps_remaining = deps_remaining - 1, updated_ms = :u"
             " WHERE job_seq = :j AND stage_no IN"
             " (SELECT to_no FROM stage_edges WHERE job_seq = :k AND from_no = :f)",
      use(now_ms), use(task.job_seq), use(task.job_seq), use(task.stage_no);
  std::vector<Ready> out;
  Ready ready;
  soci::statement rows =
      (session.prepare << "SELECT class_id, count(*) FROM tasks WHERE job_seq = :j"
                          " AND status = 'queued' AND deps_remaining = 0 AND stage_no IN"
                          " (SELECT to_no FROM stage_edges WHERE job_seq = :k AND from_no = :f)"
                          " GROUP BY class_id",
       use(task.job_seq),
       use(task.job_seq),
       use(task.stage_no),
       into(ready.class_id),
       into(ready.count));
  rows.execute();
  while (rows.fetch()) out.push_back(ready);
  return out;
}

int JobStore::cancel_waiting(soci::session& session, const TaskRow& task, SystemTime now) {
  std::vector<JobGraph::Edge> edges;
  {
    long long from = 0;
    long long to = 0;
    soci::statement rows =
        (session.prepare << "SELECT from_no, to_no FROM stage_edges WHERE job_seq = :j",
         use(task.job_seq),
         into(from),
         into(to));
    rows.execute();
    while (rows.fetch()) {
      edges.push_back({static_cast<std::size_t>(from), static_cast<std::size_t>(to)});
    }
  }
  const long long now_ms = to_ms(now);
  long long stage = 0;
  soci::statement canceling =
      (session.prepare << "UPDATE tasks SET status = 'canceled', cancel_requested_ms = :c,"
                          " updated_ms = :u, lease_expires_ms = 0"
                          " WHERE job_seq = :j AND stage_no = :s AND status = 'queued'",
       use(now_ms),
       use(now_ms),
       use(task.job_seq),
       use(stage));
  int canceled = 0;
  for (const std::size_t after : stages_after(edges, static_cast<std::size_t>(task.stage_no))) {
    stage = static_cast<long long>(after);
    canceling.execute(true);
    canceled += static_cast<int>(canceling.get_affected_rows());
  }
  return canceled;
}

void JobStore::cancel_open(soci::session& session, long long job_seq, SystemTime now) {
  // cancel() of task_rules for all of them at once.
  const long long now_ms = to_ms(now);
  session << "UPDATE tasks SET cancel_requested_ms = :c, updated_ms = :u, lease_expires_ms ="
             " CASE status WHEN 'queued' THEN 0 ELSE lease_expires_ms END, status = 'canceled'"
             " WHERE job_seq = :j AND status IN ('queued', 'leased', 'running')",
      use(now_ms), use(now_ms), use(job_seq);
}

std::vector<TaskId> JobStore::expired(soci::session& session, SystemTime now, int limit) {
  std::vector<TaskId> out;
  const long long now_ms = to_ms(now);
  std::string id;
  soci::statement rows = (session.prepare << "SELECT id FROM tasks"
                                             " WHERE status IN ('leased', 'running')"
                                             " AND lease_expires_ms <= :n"
                                             " ORDER BY lease_expires_ms LIMIT :l",
                          use(now_ms),
                          use(limit),
                          into(id));
  rows.execute();
  while (rows.fetch()) out.emplace_back(id);
  return out;
}

std::vector<Ready> JobStore::insert_job(soci::session& session, const NewJob& job) {
  const JobSpec& spec = *job.spec;
  const JobGraph& graph = *job.graph;
  const long long now = to_ms(job.now);
  const int tasks = static_cast<int>(spec.tasks.size());
  const int has_edges = graph.edges.empty() ? 0 : 1;
  long long job_seq = 0;
  session << "INSERT INTO jobs(id, domain_id, organization_id, label, status, priority, meta,"
             " open_tasks, failed_tasks, has_edges, created_ms, updated_ms)"
             " VALUES(:i, :d, :o, :l, 'pending', :p, :m, :t, 0, :e, :c, :u)",
      use(job.id.str()), use(spec.domain.str()), use(job.organization.str()), use(spec.label),
      use(spec.priority), use(spec.meta), use(tasks), use(has_edges), use(now), use(now);
  session << "SELECT last_insert_rowid()", into(job_seq);

  long long from = 0;
  long long to = 0;
  soci::statement edge =
      (session.prepare << "INSERT INTO stage_edges(job_seq, from_no, to_no) VALUES(:j, :f, :t)",
       use(job_seq),
       use(from),
       use(to));
  for (const auto& e : graph.edges) {
    from = static_cast<long long>(e.from);
    to = static_cast<long long>(e.to);
    edge.execute(true);
  }

  std::string id, inputs, prefix, organization, label, stage, capability, filters, mode, meta,
      units;
  long long class_id = 0, stage_no = 0, task_seq = 0;
  int priority = 0, deps = 0, max_attempts = 0;
  soci::indicator has_prefix = soci::i_null;
  soci::indicator has_organization = soci::i_null;
  soci::statement task =
      (session.prepare << "INSERT INTO tasks(id, job_seq, stage_no, class_id, status, priority,"
                          " deps_remaining, attempts, max_attempts, node_id, lease_id,"
                          " last_outcome, leased_ms, lease_expires_ms, token_expires_ms,"
                          " last_heartbeat_ms, cancel_requested_ms, created_ms, updated_ms,"
                          " progress, events) VALUES(:i, :j, :s, :c, 'queued', :p, :d, 0, :m, '',"
                          " '', 'none', 0, 0, 0, 0, 0, :n, :u, '{}', '[]')",
       use(id),
       use(job_seq),
       use(stage_no),
       use(class_id),
       use(priority),
       use(deps),
       use(max_attempts),
       use(now),
       use(now));
  soci::statement its_spec =
      (session.prepare << "INSERT INTO task_specs(task_seq, label, stage, capability, filters,"
                          " mode, inputs, outputs_prefix, meta, organization_filter,"
                          " billing_units) VALUES(:q, :l, :s, :c, :f, :m, :i, :p, :t, :o, :b)",
       use(task_seq),
       use(label),
       use(stage),
       use(capability),
       use(filters),
       use(mode),
       use(inputs),
       use(prefix, has_prefix),
       use(meta),
       use(organization, has_organization),
       use(units));
  soci::statement last = (session.prepare << "SELECT last_insert_rowid()", into(task_seq));

  ClassIds class_ids(session);
  std::map<long long, int> ready;
  for (std::size_t i = 0; i < spec.tasks.size(); ++i) {
    const TaskSpec& t = spec.tasks[i];
    const std::size_t stage_at = graph.stage_of_task[i];
    id = job.task_ids[i].str();
    class_id = class_ids.id_of(t, job.organization);
    stage_no = static_cast<long long>(stage_at);
    priority = t.priority;
    deps = static_cast<int>(graph.deps_of_stage[stage_at]);
    max_attempts = t.max_attempts;
    task.execute(true);
    fetch_one(last);
    label = t.label;
    stage = t.stage;
    capability = t.capability.str();
    filters = t.filters;
    mode = t.mode;
    inputs = dump_json(Json(t.inputs_cids));
    prefix = t.outputs_prefix.value_or("");
    has_prefix = t.outputs_prefix ? soci::i_ok : soci::i_null;
    meta = t.meta;
    organization = t.organization_filter.value_or("");
    has_organization = t.organization_filter ? soci::i_ok : soci::i_null;
    units = t.billing_units;
    its_spec.execute(true);
    if (deps == 0) ++ready[class_id];
  }
  std::vector<Ready> out;
  out.reserve(ready.size());
  for (const auto& [class_of, count] : ready) out.push_back({class_of, count});
  return out;
}

std::vector<TaskClass> JobStore::classes(soci::session& session) {
  std::vector<TaskClass> out;
  long long id = 0;
  std::string capability, filters, mode, organization;
  soci::statement rows =
      (session.prepare << "SELECT id, capability, filters, mode, organization_id FROM task_classes",
       into(id),
       into(capability),
       into(filters),
       into(mode),
       into(organization));
  rows.execute();
  while (rows.fetch()) {
    out.push_back({id, Capability(capability), filters, mode, OrganizationId(organization)});
  }
  return out;
}

}  // namespace pn::market
