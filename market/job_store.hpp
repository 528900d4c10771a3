#pragma once

#include "base/ids.hpp"
#include "base/time.hpp"
#include "market/task_rules.hpp"
#include "market/tokens.hpp"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace soci {
class session;
}

namespace pn::market {

/// A task and what of its job its life touches.
struct TaskRow {
  long long seq = 0;
  long long job_seq = 0;
  long long class_id = 0;
  long long stage_no = 0;
  TaskId id;
  int priority = 0;
  TaskState state;
  SystemTime token_expires{};  ///< of the last task token that was handed out
  std::string progress;        ///< JSON
  std::string events;          ///< JSON array

  JobId job_id;
  DomainId domain;
  OrganizationId organization;
  JobState job;
  bool has_edges = false;
};

/// The part of a task that never changes, as a lease tells it.
struct TaskSpecRow {
  std::string label;
  std::string stage;
  Capability capability;
  std::string filters;
  std::string mode;
  std::string inputs;  ///< JSON array
  std::optional<std::string> outputs_prefix;
  std::string meta;
  std::optional<std::string> organization_filter;
  std::string billing_units;
};

struct ClaimedRow {
  TaskRow task;
  TaskSpecRow spec;
};

/// Tasks of a class that became claimable.
struct Ready {
  long long class_id = 0;
  int count = 0;
};

/// How a lease ended, for the log of attempts.
struct AttemptRow {
  std::string id;
  std::string outcome;  ///< "completed", "failed", "expired", "late"
  Reporter who;
  std::string reason;
  std::string outputs = "[]";
  std::string meta = "{}";
  SystemTime ended{};
};

/// The SQL of a task's life; that of its beginning is in job_insert.hpp. One instance on the writer
/// thread, where its hot statements stay prepared: all methods are called inside Database::write
/// only; the static ones do without its state. Throws what SOCI throws.
class JobStore final {
 public:
  JobStore();
  ~JobStore();
  JobStore(const JobStore&) = delete;
  JobStore& operator=(const JobStore&) = delete;

  /// The next task of a class: highest priority, then oldest.
  std::optional<ClaimedRow> next_ready(soci::session& session, long long class_id);
  std::optional<TaskRow> find_task(soci::session& session, const TaskId& id);
  /// Writes `state` and the token's expiry.
  void save_task(soci::session& session, const TaskRow& row, SystemTime now);
  /// Writes also progress and events.
  void save_beat(soci::session& session, const TaskRow& row, SystemTime now);
  void save_job(soci::session& session, long long job_seq, const JobState& job, SystemTime now);
  /// The same outcome of the same lease twice is one row.
  static void add_attempt(soci::session& session, const TaskRow& task, const AttemptRow& attempt);
  /// Whether this lease was reported with this outcome before.
  static bool has_attempt(soci::session& session,
                          const TaskRow& task,
                          const Reporter& who,
                          const std::string& outcome);
  /// The number of the attempt that this reporter held and let expire; nothing when there is none.
  static std::optional<int> expired_attempt(soci::session& session,
                                            const TaskRow& task,
                                            const Reporter& who);

  /// One task of the stage completed: those that wait for it wait for one less.
  static std::vector<Ready> release_waiting(soci::session& session,
                                            const TaskRow& task,
                                            SystemTime now);
  /// A task of the stage failed for good: cancels all that wait for it, directly or not. Answers
  /// how many.
  static int cancel_waiting(soci::session& session, const TaskRow& task, SystemTime now);
  /// Cancels every open task of a job.
  static void cancel_open(soci::session& session, long long job_seq, SystemTime now);
  static std::vector<TaskId> expired(soci::session& session, SystemTime now, int limit);

  struct Released {
    std::vector<Ready> ready;
    std::optional<SystemTime> next;  ///< when there is more to release
  };
  /// Tasks whose pause after a failure is over can be claimed again.
  static Released release_held(soci::session& session, SystemTime now);

 private:
  struct Hot;
  Hot& hot(soci::session& session);
  std::unique_ptr<Hot> hot_;
};

}  // namespace pn::market
