#pragma once

#include "base/result.hpp"
#include "market/job_spec.hpp"

#include <compare>
#include <cstddef>
#include <string>
#include <vector>

namespace pn::market {

/// A job's stages as a graph without cycles. Stages are numbered in the order in which tasks first
/// name them.
struct JobGraph {
  struct Edge {
    std::size_t from = 0;
    std::size_t to = 0;
    friend auto operator<=>(const Edge&, const Edge&) = default;
  };

  std::vector<std::string> stages;
  std::vector<std::size_t> stage_of_task;   ///< by task
  std::vector<std::size_t> tasks_in_stage;  ///< by stage
  std::vector<Edge> edges;                  ///< sorted, each once
  std::vector<std::size_t> deps_of_stage;  ///< by stage: what deps_remaining of its tasks starts at

  friend bool operator==(const JobGraph&, const JobGraph&) = default;
};

/// Kind `rejected`, codes "job_edge" (a stage that no task has, or an edge to itself) and
/// "job_cycle" (naming the stages on it in order).
Result<JobGraph> make_job_graph(const JobSpec& spec);

/// The stages that wait for `stage`, directly or not; without itself; ascending.
std::vector<std::size_t> stages_after(const std::vector<JobGraph::Edge>& edges, std::size_t stage);

}  // namespace pn::market
