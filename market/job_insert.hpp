#pragma once

#include "base/ids.hpp"
#include "base/time.hpp"
#include "market/job_graph.hpp"
#include "market/job_spec.hpp"
#include "market/job_store.hpp"
#include "market/task_classes.hpp"
#include "market/tokens.hpp"

#include <vector>

namespace soci {
class session;
}

namespace pn::market {

// The SQL of a job's beginning. Inside Database::write (task_classes() also inside ::read); throws
// what SOCI throws.

struct NewJob {
  JobId id;
  OrganizationId organization;
  const JobSpec* spec = nullptr;
  const JobGraph* graph = nullptr;
  std::vector<TaskId> task_ids;  ///< one for each task of the spec
  SystemTime now{};
};

/// Answers what can be claimed at once.
std::vector<Ready> insert_job(soci::session& session, const NewJob& job);

/// What the tasks that have not ended ask of nodes.
std::vector<TaskClass> list_task_classes(soci::session& session);

}  // namespace pn::market
