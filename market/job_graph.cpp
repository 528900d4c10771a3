#include "market/job_graph.hpp"

#include "base/result.hpp"
#include "market/job_spec.hpp"

#include <algorithm>
#include <cstddef>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace pn::market {
namespace {

/// "a -> b -> a" for one cycle; empty when there is none. Kahn's order first, so that a graph of
/// thousands of stages costs no recursion.
std::string find_cycle(const JobGraph& graph) {
  std::vector<std::vector<std::size_t>> before(graph.stages.size());
  std::vector<std::vector<std::size_t>> after(graph.stages.size());
  for (const auto& edge : graph.edges) {
    before[edge.to].push_back(edge.from);
    after[edge.from].push_back(edge.to);
  }
  std::vector<std::size_t> waits_for(graph.stages.size());
  std::vector<std::size_t> free;
  for (std::size_t i = 0; i < before.size(); ++i) {
    waits_for[i] = before[i].size();
    if (waits_for[i] == 0) free.push_back(i);
  }
  std::size_t ordered = 0;
  while (!free.empty()) {
    const std::size_t stage = free.back();
    free.pop_back();
    ++ordered;
    for (const std::size_t next : after[stage]) {
      if (--waits_for[next] == 0) free.push_back(next);
    }
  }
  if (ordered == graph.stages.size()) return {};

  // Every stage left waits for another one left: walking back must come round.
  const auto left = [&](std::size_t stage) { return waits_for[stage] > 0; };
  std::size_t at = 0;
  while (!left(at)) ++at;
  std::vector<std::size_t> walked;
  std::vector<bool> seen(graph.stages.size(), false);
  while (!seen[at]) {
    seen[at] = true;
    walked.push_back(at);
    at = *std::find_if(before[at].begin(), before[at].end(), left);
  }
  std::string text = graph.stages[at];
  for (auto it = walked.rbegin(); *it != at; ++it) text += " -> " + graph.stages[*it];
  return text + " -> " + graph.stages[at];
}

}  // namespace

Result<JobGraph> make_job_graph(const JobSpec& spec) {
  JobGraph graph;
  std::unordered_map<std::string, std::size_t> number;
  for (const TaskSpec& task : spec.tasks) {
    const auto [at, is_new] = number.emplace(task.stage, graph.stages.size());
    if (is_new) {
      graph.stages.push_back(task.stage);
      graph.tasks_in_stage.push_back(0);
    }
    graph.stage_of_task.push_back(at->second);
    ++graph.tasks_in_stage[at->second];
  }

  std::set<JobGraph::Edge> edges;
  for (const StageEdge& edge : spec.edges) {
    for (const std::string& end : {edge.from, edge.to}) {
      if (number.find(end) != number.end()) continue;
      return Error(
          ErrorKind::rejected, "job_edge", "edges name the stage '" + end + "', which no task has");
    }
    if (edge.from == edge.to) {
      return Error(
          ErrorKind::rejected, "job_edge", "the stage '" + edge.from + "' would wait for itself");
    }
    edges.insert(JobGraph::Edge{.from = number[edge.from], .to = number[edge.to]});
  }
  graph.edges.assign(edges.begin(), edges.end());
  graph.deps_of_stage.assign(graph.stages.size(), 0);
  for (const auto& edge : graph.edges) {
    graph.deps_of_stage[edge.to] += graph.tasks_in_stage[edge.from];
  }
  const std::string cycle = find_cycle(graph);
  if (!cycle.empty()) {
    return Error(ErrorKind::rejected, "job_cycle", "the stages wait for each other: " + cycle);
  }
  return graph;
}

std::vector<std::size_t> stages_after(const std::vector<JobGraph::Edge>& edges, std::size_t stage) {
  std::unordered_map<std::size_t, std::vector<std::size_t>> next;
  for (const auto& edge : edges) next[edge.from].push_back(edge.to);
  std::set<std::size_t> found;
  std::vector<std::size_t> open{stage};
  while (!open.empty()) {
    const std::size_t at = open.back();
    open.pop_back();
    for (const std::size_t to : next[at]) {
      if (found.insert(to).second) open.push_back(to);
    }
  }
  return {found.begin(), found.end()};
}

}  // namespace pn::market
