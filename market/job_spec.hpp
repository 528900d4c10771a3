#pragma once

#include "base/ids.hpp"
#include "base/json.hpp"
#include "base/result.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace pn::market {

/// One task as its submitter asks for it, defaults applied.
struct TaskSpec {
  std::string label;
  std::string stage;  ///< the label when not given
  Capability capability;
  std::string filters = "{}";  ///< JSON object, keys in order
  std::string mode = "public";
  int priority = 0;  ///< the job's when not given
  std::vector<std::string> inputs_cids;
  std::optional<std::string> outputs_prefix;
  std::string meta = "{}";  ///< JSON object
  int max_attempts = 3;
  std::optional<std::string> organization_filter;
  std::string billing_units = "1";

  friend bool operator==(const TaskSpec&, const TaskSpec&) = default;
};

/// Each task of stage `to` waits for all tasks of stage `from`.
struct StageEdge {
  std::string from;
  std::string to;

  friend bool operator==(const StageEdge&, const StageEdge&) = default;
};

struct JobSpec {
  std::string label;
  DomainId domain;
  int priority = 0;
  std::string meta = "{}";
  std::vector<TaskSpec> tasks;
  std::vector<StageEdge> edges;

  friend bool operator==(const JobSpec&, const JobSpec&) = default;
};

constexpr std::size_t kMaxTasksPerJob = 10'000;

/// Kind `rejected`, code "job_spec", naming the task and the field.
Result<JobSpec> parse_job_spec(const Json& json);

/// The spec with every default written out and keys in order: equal for two requests that ask the
/// same. What an idempotency key is bound to.
std::string canonical_json(const JobSpec& spec);

}  // namespace pn::market
