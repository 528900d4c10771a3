#include "market/job_graph.hpp"

#include "base/json.hpp"
#include "base/result.hpp"
#include "market/job_spec.hpp"

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

namespace pn::market {
namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

/// A job with one task a stage name given (repeats make a stage of several) and these edges.
JobSpec job_of(const std::vector<std::string>& stages, const Pairs& edges) {
  JobSpec spec;
  spec.label = "job";
  spec.domain = DomainId("d");
  for (const auto& stage : stages) {
    TaskSpec task;
    task.label = stage;
    task.stage = stage;
    task.capability = Capability("/noop/v1");
    spec.tasks.push_back(task);
  }
  for (const auto& [from, to] : edges) spec.edges.push_back(StageEdge{from, to});
  return spec;
}

Json minimal_job() {
  return Json::parse(
      R"({"label":"j","domain_id":"d","tasks":[{"label":"a","capability":"/noop/v1"}]})");
}

std::string fault_of(const Json& job) {
  const auto parsed = parse_job_spec(job);
  REQUIRE_FALSE(parsed.ok());
  CHECK(parsed.error().kind == ErrorKind::rejected);
  CHECK(parsed.error().code == "job_spec");
  return parsed.error().detail;
}

}  // namespace

TEST_CASE("job graph: what a stage waits for", "[market][graph]") {
  struct Row {
    const char* name;
    std::vector<std::string> stages;
    Pairs edges;
    std::vector<std::size_t> deps;  // by stage
  };
  const auto row = GENERATE(values<Row>({
      {"one task", {"a"}, {}, {0}},
      {"no edges", {"a", "b", "c"}, {}, {0, 0, 0}},
      {"a chain", {"a", "b", "c"}, {{"a", "b"}, {"b", "c"}}, {0, 1, 1}},
      {"a stage of three", {"a", "a", "a", "b"}, {{"a", "b"}}, {0, 3}},
      {"three wait", {"a", "b", "b", "b"}, {{"a", "b"}}, {0, 1}},
      {"a diamond",
       {"a", "b", "c", "d"},
       {{"a", "b"}, {"a", "c"}, {"b", "d"}, {"c", "d"}},
       {0, 1, 1, 2}},
      {"an edge named twice counts once", {"a", "b"}, {{"a", "b"}, {"a", "b"}}, {0, 1}},
      {"a short cut", {"a", "b", "c"}, {{"a", "b"}, {"b", "c"}, {"a", "c"}}, {0, 1, 2}},
      {"the later stage is named first", {"b", "a"}, {{"a", "b"}}, {1, 0}},
      {"two parts", {"a", "b", "c", "d"}, {{"a", "b"}, {"c", "d"}}, {0, 1, 0, 1}},
      {"mixed order of tasks", {"a", "b", "a", "b", "a"}, {{"a", "b"}}, {0, 3}},
  }));
  INFO(row.name);
  const auto graph = make_job_graph(job_of(row.stages, row.edges));
  REQUIRE(graph.ok());
  CHECK(graph->deps_of_stage == row.deps);
  REQUIRE(graph->stage_of_task.size() == row.stages.size());
  for (std::size_t i = 0; i < row.stages.size(); ++i) {
    CHECK(graph->stages[graph->stage_of_task[i]] == row.stages[i]);
  }
}

TEST_CASE("job graph: edges that cannot be", "[market][graph]") {
  struct Row {
    const char* name;
    std::vector<std::string> stages;
    Pairs edges;
    const char* code;
    const char* named;
  };
  const auto row = GENERATE(values<Row>({
      {"unknown from", {"a"}, {{"x", "a"}}, "job_edge", "'x'"},
      {"unknown to", {"a"}, {{"a", "y"}}, "job_edge", "'y'"},
      {"itself", {"a"}, {{"a", "a"}}, "job_edge", "'a'"},
      {"two in a ring", {"a", "b"}, {{"a", "b"}, {"b", "a"}}, "job_cycle", "a -> b -> a"},
      {"a ring with a way in and a way out",
       {"in", "x", "y", "z", "out"},
       {{"in", "x"}, {"x", "y"}, {"y", "z"}, {"z", "x"}, {"z", "out"}},
       "job_cycle",
       "x -> y -> z -> x"},
  }));
  INFO(row.name);
  const auto graph = make_job_graph(job_of(row.stages, row.edges));
  REQUIRE_FALSE(graph.ok());
  CHECK(graph.error().kind == ErrorKind::rejected);
  CHECK(graph.error().code == row.code);
  CHECK_THAT(graph.error().detail, Catch::Contains(row.named));
}

TEST_CASE("job graph: a chain of ten thousand stages is no recursion", "[market][graph]") {
  std::vector<std::string> stages;
  Pairs edges;
  for (int i = 0; i < 10'000; ++i) {
    stages.push_back("s" + std::to_string(i));
    if (i > 0) edges.emplace_back(stages[static_cast<std::size_t>(i) - 1], stages.back());
  }
  CHECK(make_job_graph(job_of(stages, edges)).ok());
  edges.emplace_back(stages.back(), stages.front());
  CHECK(make_job_graph(job_of(stages, edges)).error().code == "job_cycle");
}

TEST_CASE("job graph: who waits, directly or not", "[market][graph]") {
  const std::vector<JobGraph::Edge> edges{{0, 1}, {1, 2}, {0, 3}, {4, 2}};
  CHECK(stages_after(edges, 0) == std::vector<std::size_t>{1, 2, 3});
  CHECK(stages_after(edges, 1) == std::vector<std::size_t>{2});
  CHECK(stages_after(edges, 2).empty());
  CHECK(stages_after(edges, 4) == std::vector<std::size_t>{2});
}

TEST_CASE("job graph: who waits of half a million edges is found at once", "[market][graph]") {
  std::vector<JobGraph::Edge> edges;
  for (std::size_t from = 0; from < 1000; ++from) {
    for (std::size_t to = from + 1; to < 1000; ++to) edges.push_back({from, to});
  }
  const auto began = std::chrono::steady_clock::now();
  CHECK(stages_after(edges, 0).size() == 999);
  CHECK(std::chrono::steady_clock::now() - began < std::chrono::seconds(2));  // was minutes
}

TEST_CASE("job spec: defaults", "[market][graph]") {
  Json job = minimal_job();
  job["priority"] = 5;
  const auto spec = parse_job_spec(job);
  REQUIRE(spec.ok());
  const TaskSpec& task = spec->tasks.at(0);
  CHECK(task.stage == "a");
  CHECK(task.mode == "public");
  CHECK(task.max_attempts == 3);
  CHECK(task.priority == 5);
  CHECK(task.inputs_cids.empty());
  CHECK_FALSE(task.outputs_prefix);
  CHECK(task.meta == "{}");
}

TEST_CASE("job spec: every fault names its place", "[market][graph]") {
  Json job = minimal_job();
  const auto with = [&](const char* key, Json value) {
    Json changed = job;
    changed["tasks"][0][key] = std::move(value);
    return fault_of(changed);
  };
  CHECK_THAT(with("label", nullptr), Catch::Contains("tasks[0]") && Catch::Contains("label"));
  CHECK_THAT(with("capability", ""), Catch::Contains("capability"));
  CHECK_THAT(with("capability", "noop"), Catch::Contains("capability"));
  CHECK_THAT(with("mode", "secret"), Catch::Contains("mode"));
  CHECK_THAT(with("max_attempts", 0), Catch::Contains("max_attempts"));
  CHECK_THAT(with("max_attempts", "3"), Catch::Contains("max_attempts"));
  CHECK_THAT(with("inputs_cids", "x"), Catch::Contains("inputs_cids"));
  CHECK_THAT(with("inputs_cids", Json::array({1})), Catch::Contains("inputs_cids"));
  CHECK_THAT(with("meta", Json::array()), Catch::Contains("meta"));
  CHECK_THAT(with("priority", 1e12), Catch::Contains("priority"));
  for (const char* key : {"label", "domain_id"}) {
    Json changed = job;
    changed.erase(key);
    CHECK_THAT(fault_of(changed), Catch::Contains(key));
  }
  for (const Json& tasks : {Json(), Json::array(), Json("x"), Json::array({1})}) {
    Json changed = job;
    changed["tasks"] = tasks;
    CHECK_THAT(fault_of(changed), Catch::Contains("tasks"));
  }
  Json changed = job;
  changed["edges"] = Json::array({Json::object({{"from", "a"}})});
  CHECK_THAT(fault_of(changed), Catch::Contains("edges[0]") && Catch::Contains("to"));
  fault_of(Json::array());
}

TEST_CASE("job spec: the same request has one canonical form", "[market][graph]") {
  const Json a = Json::parse(
      R"({"label":"j","domain_id":"d","tasks":[{"label":"a","capability":"/n/v1","meta":{"x":1,"y":2}}]})");
  const Json b = Json::parse(
      R"({"tasks":[{"meta":{"y":2,"x":1},"capability":"/n/v1","label":"a","stage":"a","mode":"public",
          "max_attempts":3,"priority":0,"inputs_cids":[],"capability_filters":{}}],
          "domain_id":"d","label":"j","priority":0,"edges":[]})");
  CHECK(canonical_json(*parse_job_spec(a)) == canonical_json(*parse_job_spec(b)));
  Json c = a;
  c["tasks"][0]["max_attempts"] = 2;
  CHECK(canonical_json(*parse_job_spec(a)) != canonical_json(*parse_job_spec(c)));
}

TEST_CASE("job spec: texts have their limits", "[market]") {
  const std::string kib(1024, 'x');
  std::string large;
  for (int i = 0; i < 64; ++i) large += kib;
  struct Row {
    const char* name;
    const char* at;
    Json value;
    const char* said;
  };
  const auto row = GENERATE_COPY(values<Row>({
      {"stage", "/tasks/0/stage", std::string(201, 's'), "200"},
      {"capability", "/tasks/0/capability", "/" + std::string(200, 'c'), "200"},
      {"prefix", "/tasks/0/outputs_prefix", std::string(501, 'p'), "500"},
      {"organization", "/tasks/0/organization_filter", std::string(201, 'o'), "200"},
      {"filters", "/tasks/0/capability_filters", {{"f", large.substr(0, 16'384)}}, "16384"},
      {"task meta", "/tasks/0/meta", {{"m", std::string(1'048'576, 'm')}}, "1 MiB"},
      {"job meta", "/meta", {{"m", large}}, "65536"},
  }));
  INFO(row.name);
  Json json = minimal_job();
  json[Json::json_pointer(row.at)] = row.value;
  const Result<JobSpec> spec = parse_job_spec(json);
  REQUIRE_FALSE(spec.ok());
  CHECK(spec.error().code == "job_spec");
  CHECK(spec.error().detail.find(row.said) != std::string::npos);
  CHECK(spec.error().detail.size() < 200);
}

}  // namespace pn::market
