#pragma once

#include "market/job_store.hpp"

#include <string>

namespace soci {
class statement;  // NOLINT(readability-identifier-naming): SOCI's name
}

namespace pn::market {

// A task as SELECTs give it: the columns, the variables they are fetched into, and the rows made of
// these, in one place. A statement names the columns in the order in which it binds the fields.

/// FROM for both: each task t with its job j and its spec s. CROSS JOIN, because SQLite then keeps
/// this order, and with it the order of the index.
inline constexpr const char* kTasksAndJobs = " FROM tasks t CROSS JOIN jobs j ON j.seq = t.job_seq";
inline constexpr const char* kTheirSpecs = " CROSS JOIN task_specs s ON s.task_seq = t.seq";

struct TaskFields {
  static const char* const kColumns;

  /// Adds these to what `statement` fetches. They must not move after that.
  void bind(soci::statement& statement);
  [[nodiscard]] TaskRow row() const;

  long long seq = 0, job_seq = 0, class_id = 0, stage_no = 0, leased = 0, expires = 0;
  long long token_expires = 0, heartbeat = 0, cancel_requested = 0, not_before = 0;
  int priority = 0, deps = 0, attempts = 0, max_attempts = 0, open = 0, failed = 0, has_edges = 0;
  std::string id, status, node, lease, outcome, progress, events;
  std::string job_id, domain, organization, job_status;
};

struct SpecFields {
  static const char* const kColumns;

  void bind(soci::statement& statement);
  [[nodiscard]] TaskSpecRow row() const;

  std::string label, stage, capability, filters, mode, inputs, prefix, meta, organization, units;
  int has_prefix = 0, has_organization = 0;
};

}  // namespace pn::market
