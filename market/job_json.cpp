#include "base/json.hpp"
#include "base/result.hpp"
#include "market/job_spec.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

namespace pn::market {
namespace {

constexpr std::size_t kMaxName = 200;
constexpr std::size_t kMaxPrefix = 500;
constexpr std::size_t kMaxFilters = std::size_t{16} * 1024;
constexpr std::size_t kMaxLeased = std::size_t{1024} * 1024;
constexpr std::size_t kMaxJobMeta = std::size_t{64} * 1024;

Error in_spec(const std::string& detail) { return {ErrorKind::rejected, "job_spec", detail}; }

std::optional<std::string> object_text(JsonFields& fields, std::string_view key) {
  const Json* object = fields.object(key);
  if (object == nullptr) return std::nullopt;
  if (!object->is_object()) {
    fields.fault(key, "must be an object");
    return std::nullopt;
  }
  return dump_json(*object);
}

std::optional<int> integer_in(JsonFields& fields, std::string_view key, int low, int high) {
  const auto value = fields.integer(key);
  if (!value) return std::nullopt;
  if (*value < low || *value > high) {
    fields.fault(key, "must be from " + std::to_string(low) + " to " + std::to_string(high));
    return std::nullopt;
  }
  return static_cast<int>(*value);
}

/// `text` of `key`, which may have so many bytes.
std::string bounded(JsonFields& fields, std::string_view key, std::string text, std::size_t limit) {
  if (text.size() > limit) {
    fields.fault(key, "must have at most " + std::to_string(limit) + " bytes");
  }
  return text;
}

std::string label_of(JsonFields& fields, std::string_view key) {
  return bounded(fields, key, fields.need_string(key), kMaxName);
}

/// What of a task has no limit of its own, as its lease carries it: that answer must fit into the
/// 2 MiB that a node reads, or nobody could ever take the task.
std::size_t leased_bytes(const TaskSpec& task) {
  return dump_json(Json(task.inputs_cids)).size() + task.meta.size() + task.filters.size();
}

constexpr int kPriority = 1'000'000;

Result<TaskSpec> parse_task(const Json& json, std::size_t index, int job_priority) {
  const std::string where = "tasks[" + std::to_string(index) + "]";
  if (!json.is_object()) return in_spec(where + " must be an object");
  JsonFields fields(json, where);
  TaskSpec task;
  task.label = label_of(fields, "label");
  task.stage = bounded(fields, "stage", fields.string("stage").value_or(""), kMaxName);
  if (task.stage.empty()) task.stage = task.label;
  const std::string capability =
      bounded(fields, "capability", fields.need_string("capability"), kMaxName);
  if (!capability.empty() && capability.front() != '/') {
    fields.fault("capability", "must be a path such as /spatial/sfm/v1");
  }
  task.capability = Capability(capability);
  task.filters = bounded(fields,
                         "capability_filters",
                         object_text(fields, "capability_filters").value_or("{}"),
                         kMaxFilters);
  task.mode = fields.string("mode").value_or("public");
  if (task.mode != "public" && task.mode != "dedicated") {
    fields.fault("mode", "must be public or dedicated");
  }
  task.priority = integer_in(fields, "priority", -kPriority, kPriority).value_or(job_priority);
  task.inputs_cids = fields.strings("inputs_cids").value_or(std::vector<std::string>());
  task.outputs_prefix = fields.string("outputs_prefix");
  bounded(fields, "outputs_prefix", task.outputs_prefix.value_or(""), kMaxPrefix);
  task.meta = object_text(fields, "meta").value_or("{}");
  task.max_attempts = integer_in(fields, "max_attempts", 1, 100).value_or(3);
  task.organization_filter = fields.string("organization_filter");
  bounded(fields, "organization_filter", task.organization_filter.value_or(""), kMaxName);
  if (leased_bytes(task) > kMaxLeased) {
    fields.fault("inputs_cids", "with meta and capability_filters must have at most 1 MiB");
  }
  const auto done = fields.done();
  if (!done.ok()) return in_spec(done.error().detail);
  return task;
}

Result<std::vector<StageEdge>> parse_edges(const Json* edges) {
  std::vector<StageEdge> out;
  if (edges == nullptr) return out;
  for (std::size_t i = 0; i < edges->size(); ++i) {
    const std::string where = "edges[" + std::to_string(i) + "]";
    if (!(*edges)[i].is_object()) return in_spec(where + " must be an object");
    JsonFields fields((*edges)[i], where);
    StageEdge edge;
    edge.from = fields.need_string("from");
    edge.to = fields.need_string("to");
    const auto done = fields.done();
    if (!done.ok()) return in_spec(done.error().detail);
    out.push_back(std::move(edge));
  }
  return out;
}

}  // namespace

Result<JobSpec> parse_job_spec(const Json& json) {
  if (!json.is_object()) return in_spec("the job must be an object");
  JsonFields fields(json, "job");
  JobSpec job;
  job.label = label_of(fields, "label");
  job.domain = DomainId(fields.need_string("domain_id"));
  job.priority = integer_in(fields, "priority", -kPriority, kPriority).value_or(0);
  job.meta = bounded(fields, "meta", object_text(fields, "meta").value_or("{}"), kMaxJobMeta);
  const Json* tasks = fields.array("tasks");
  const Json* edges = fields.array("edges");
  const auto done = fields.done();
  if (!done.ok()) return in_spec(done.error().detail);
  if (tasks == nullptr || tasks->empty()) return in_spec("job: tasks must hold one task at least");
  if (tasks->size() > kMaxTasksPerJob) {
    return in_spec("job: tasks may hold at most " + std::to_string(kMaxTasksPerJob));
  }
  for (std::size_t i = 0; i < tasks->size(); ++i) {
    Result<TaskSpec> task = parse_task((*tasks)[i], i, job.priority);
    if (!task.ok()) return std::move(task).error();
    job.tasks.push_back(std::move(*task));
  }
  Result<std::vector<StageEdge>> parsed = parse_edges(edges);
  if (!parsed.ok()) return std::move(parsed).error();
  job.edges = std::move(*parsed);
  return job;
}

std::string canonical_json(const JobSpec& spec) {
  Json tasks = Json::array();
  for (const TaskSpec& task : spec.tasks) {
    tasks.push_back({{"label", task.label},
                     {"stage", task.stage},
                     {"capability", task.capability.str()},
                     {"capability_filters", task.filters},
                     {"mode", task.mode},
                     {"priority", task.priority},
                     {"inputs_cids", task.inputs_cids},
                     {"outputs_prefix", task.outputs_prefix ? Json(*task.outputs_prefix) : Json()},
                     {"meta", task.meta},
                     {"max_attempts", task.max_attempts},
                     {"organization_filter",
                      task.organization_filter ? Json(*task.organization_filter) : Json()}});
  }
  Json edges = Json::array();
  for (const StageEdge& edge : spec.edges) {
    Json pair = Json::array();
    pair.push_back(edge.from);
    pair.push_back(edge.to);
    edges.push_back(std::move(pair));
  }
  const Json job{{"label", spec.label},
                 {"domain_id", spec.domain.str()},
                 {"priority", spec.priority},
                 {"meta", spec.meta},
                 {"tasks", std::move(tasks)},
                 {"edges", std::move(edges)}};
  return dump_json(job);
}

}  // namespace pn::market
