#include "market/job_store.hpp"

#include "base/ids.hpp"
#include "base/time.hpp"
#include "market/job_graph.hpp"
#include "market/sql_values.hpp"
#include "market/task_fields.hpp"
#include "market/task_rules.hpp"

#include <cstddef>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <soci/soci.h>

namespace pn::market {
namespace {

using soci::into;
using soci::use;

/// Runs a prepared SELECT of one row. Steps past that row: a statement left in the middle of its
/// rows would keep the transaction open.
bool fetch_one(soci::statement& statement) {
  const bool found = statement.execute(true);
  if (found) statement.fetch();
  return found;
}

// The hot statements, each with what it is bound to: members never move once it is prepared.

struct FindTask {
  explicit FindTask(soci::session& s) : statement(s) {
    statement.alloc();
    statement.prepare(std::string("SELECT ") + TaskFields::kColumns + kTasksAndJobs +
                      " WHERE t.id = :id");
    fields.bind(statement);
    statement.exchange(use(id));
    statement.define_and_bind();
  }
  std::string id;
  TaskFields fields;
  soci::statement statement;
};

struct NextReady {
  explicit NextReady(soci::session& s) : statement(s) {
    statement.alloc();
    statement.prepare(std::string("SELECT ") + TaskFields::kColumns + ", " + SpecFields::kColumns +
                      kTasksAndJobs + kTheirSpecs +
                      " WHERE t.class_id = :c AND t.status = 'queued' AND t.deps_remaining = 0"
                      " AND t.not_before_ms = 0"
                      " ORDER BY t.priority DESC, t.seq LIMIT 1");
    fields.bind(statement);
    spec.bind(statement);
    statement.exchange(use(class_id));
    statement.define_and_bind();
  }
  long long class_id = 0;
  TaskFields fields;
  SpecFields spec;
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
    not_before = to_ms(row.state.not_before);
    progress = row.progress;
    events = row.events;
    now = to_ms(time);
  }

  int attempts = 0;
  std::string status, node, lease, outcome, progress, events;
  long long seq = 0, leased = 0, expires = 0, token_expires = 0, heartbeat = 0;
  long long cancel_requested = 0, not_before = 0, now = 0;
};

struct SaveTask {
  explicit SaveTask(soci::session& s)
      : statement((s.prepare << "UPDATE tasks SET status = :s, attempts = :a, node_id = :n,"
                                " lease_id = :l, last_outcome = :o, leased_ms = :b,"
                                " lease_expires_ms = :e, token_expires_ms = :t,"
                                " last_heartbeat_ms = :h, cancel_requested_ms = :c,"
                                " not_before_ms = :w, updated_ms = :u WHERE seq = :q",
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
                   use(v.not_before),
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
  out.spec = next.spec.row();
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
  struct {
    long long stage = 0;
  } bound;
  soci::statement canceling =
      (session.prepare << "UPDATE tasks SET status = 'canceled', cancel_requested_ms = :c,"
                          " updated_ms = :u, lease_expires_ms = 0"
                          " WHERE job_seq = :j AND stage_no = :s AND status = 'queued'",
       use(now_ms),
       use(now_ms),
       use(task.job_seq),
       use(bound.stage));
  int canceled = 0;
  for (const std::size_t after : stages_after(edges, static_cast<std::size_t>(task.stage_no))) {
    bound.stage = static_cast<long long>(after);
    canceling.execute(true);
    canceled += static_cast<int>(canceling.get_affected_rows());
  }
  return canceled;
}

void JobStore::cancel_open(soci::session& session, long long job_seq, SystemTime now) {
  // cancel() of task_rules for all of them at once.
  const long long now_ms = to_ms(now);
  session << "UPDATE tasks SET cancel_requested_ms = :c, updated_ms = :u, lease_expires_ms ="
             " CASE status WHEN 'queued' THEN 0 ELSE lease_expires_ms END, status = 'canceled',"
             " not_before_ms = 0 WHERE job_seq = :j AND status IN ('queued', 'leased', 'running')",
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

JobStore::Released JobStore::release_held(soci::session& session, SystemTime now) {
  Released out;
  // "> 0" as the index has it: a parameter alone may be anything, and SQLite reads every task.
  // After the others, since it searches by the first bound.
  const auto release = [&](long long after, long long until) {
    Ready ready;
    {
      soci::statement rows =
          (session.prepare << "SELECT class_id, count(*) FROM tasks WHERE status = 'queued'"
                              " AND not_before_ms > :a AND not_before_ms <= :u"
                              " AND not_before_ms > 0 GROUP BY class_id",
           use(after),
           use(until),
           into(ready.class_id),
           into(ready.count));
      rows.execute();
      while (rows.fetch()) out.ready.push_back(ready);
    }
    if (ready.count == 0) return;
    session << "UPDATE tasks SET not_before_ms = 0 WHERE status = 'queued'"
               " AND not_before_ms > :a AND not_before_ms <= :u AND not_before_ms > 0",
        use(after), use(until);
  };
  release(0, to_ms(now));
  // No pause is that long: the clock was set back since.
  release(to_ms(now + kLongestRetryPause), std::numeric_limits<long long>::max());
  long long next = 0;
  session << "SELECT ifnull(min(not_before_ms), 0) FROM tasks"
             " WHERE status = 'queued' AND not_before_ms > 0",
      into(next);
  if (next > 0) out.next = from_ms(next);
  return out;
}

}  // namespace pn::market
