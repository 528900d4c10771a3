#pragma once

#include "base/ids.hpp"
#include "base/time.hpp"
#include "market/job_store.hpp"
#include "market/task_rules.hpp"

#include <array>
#include <optional>
#include <string>
#include <vector>

namespace soci {
class session;
}

namespace pn::market {

// What clients read of jobs. Every function runs inside Database::read or ::write.

struct JobRow {
  long long seq = 0;
  JobId id;
  std::string label;
  DomainId domain;
  OrganizationId organization;
  JobStatus status = JobStatus::pending;
  int priority = 0;
  std::string meta;
  SystemTime created{};
  SystemTime updated{};
};

/// How many tasks are in each status, by the number of TaskStatus.
using TaskCounts = std::array<int, 6>;

struct JobItem {
  JobRow job;
  TaskCounts counts{};
};

struct JobQuery {
  DomainId domain;
  int limit = 50;
  long long before = 0;  ///< jobs older than this sequence number; 0: from the newest
  std::optional<JobStatus> status;
  std::vector<std::string> capabilities;  ///< with tasks of one of these ...
  bool match_all = false;                 ///< ... or of all of them
};

struct JobPage {
  std::vector<JobItem> items;
  /// The last item's number when there are more: what comes after is strictly older, so no job can
  /// fall between two pages.
  std::optional<long long> next;
};

/// Newest first, without deleted ones: up to `query.limit`, or fewer where their meta is long.
JobPage list_jobs(soci::session& session, const JobQuery& query);

/// Whether some are pending or running.
bool has_open_jobs(soci::session& session, const DomainId& domain);

/// Not a deleted one.
std::optional<JobRow> find_job(soci::session& session, const JobId& id);
TaskCounts count_tasks(soci::session& session, long long job_seq);

struct ShownTask {
  TaskRow task;
  TaskSpecRow spec;
  SystemTime created{};
  SystemTime updated{};
};
std::vector<ShownTask> tasks_of_job(soci::session& session, long long job_seq);

struct ShownAttempt {
  std::string id;
  TaskId task;
  int attempt = 0;
  NodeId node;
  std::string outcome;
  std::string reason;
  std::string outputs;
  std::string meta;
  SystemTime started{};
  SystemTime ended{};
};
/// In the order in which they ended.
std::vector<ShownAttempt> attempts_of_job(soci::session& session, long long job_seq);

struct BusyNode {
  NodeId node;
  TaskId task;
  JobId job;
  Capability capability;
  SystemTime lease_expires{};
};
/// The nodes that hold tasks of a domain.
std::vector<BusyNode> busy_nodes(soci::session& session, const DomainId& domain);

}  // namespace pn::market
