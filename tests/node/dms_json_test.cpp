#include "base/ids.hpp"
#include "base/json.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "node/lease.hpp"
#include "runners/sfm/options.hpp"
#include "storage/ports.hpp"

#include <string>
#include <vector>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

namespace pn::node {
namespace {

const char* const kWhole = R"({
  "access_token":"tok", "access_token_expires_at":"2026-11-20T11:00:00Z",
  "lease_expires_at":"2026-11-20T10:00:30.5Z", "cancel":false, "status":"leased", "lease_id":"L1",
  "domain_id":"d", "domain_server_url":"https://ds.example/p", "later":{"field":1},
  "task":{"id":"t","job_id":"j","capability":"/a/v1","capability_filters":{},
    "inputs_cids":["c1","c2"],"outputs_prefix":"out","label":"l","stage":"s","meta":{"x":[1]},
    "priority":0,"attempts":2,"max_attempts":3,"deps_remaining":0,"status":"leased",
    "mode":"public","billing_units":"1","lease_expires_at":"2026-11-20T10:00:10Z"}})";

Json parsed(const std::string& text) { return *parse_json(text); }

}  // namespace

TEST_CASE("dms: a whole lease envelope is read", "[node][dms]") {
  const Result<Lease> lease = decode_lease(kWhole);
  REQUIRE(lease.ok());
  CHECK(lease->task.id.str() == "t");
  CHECK(lease->task.job.str() == "j");
  CHECK(lease->task.capability.str() == "/a/v1");
  CHECK(lease->task.domain.str() == "d");
  CHECK(lease->task.inputs == std::vector{Cid("c1"), Cid("c2")});
  CHECK(lease->task.outputs_prefix == "out");
  CHECK(lease->task.meta_json == R"({"x":[1]})");
  CHECK(lease->task.attempt == 2);
  CHECK(lease->task.max_attempts == 3);
  CHECK(lease->id.str() == "L1");
  CHECK(lease->domain_server_url == "https://ds.example/p");
  CHECK(lease->token.reveal() == "tok");
  CHECK(format_rfc3339(*lease->expires_at) == "2026-11-20T10:00:30.500Z");
  CHECK_FALSE(lease->cancel);
}

TEST_CASE("dms: only the task's id and capability are certain, absent and null are one",
          "[node][dms]") {
  const std::string text = GENERATE(
      R"({"task":{"id":"t","capability":"/a/v1"}})",
      R"({"access_token":null,"lease_expires_at":null,"cancel":null,"status":null,"domain_id":null,
          "domain_server_url":null,"lease_id":null,"task":{"id":"t","capability":"/a/v1",
          "job_id":null,"inputs_cids":null,"outputs_prefix":null,"meta":null,"attempts":null,
          "max_attempts":null,"lease_expires_at":null}})");
  const Result<Lease> lease = decode_lease(text);
  REQUIRE(lease.ok());
  CHECK(lease->task.meta_json == "{}");
  CHECK(lease->task.attempt == 1);
  CHECK(lease->task.inputs.empty());
  CHECK(lease->domain_server_url.empty());
  CHECK(lease->token.reveal().empty());
  CHECK_FALSE(lease->expires_at);
  CHECK(lease->id.empty());
}

TEST_CASE("dms: the domain server may hide in the task's meta", "[node][dms]") {
  const auto url = [](const std::string& meta, const std::string& top) {
    const Result<Lease> lease =
        decode_lease(R"({"task":{"id":"t","capability":"/a/v1","meta":)" + meta + "}" + top + "}");
    REQUIRE(lease.ok());
    return lease->domain_server_url;
  };
  CHECK(url(R"({"domain_server_url":"https://m"})", "") == "https://m");
  CHECK(url(R"({"legacy":{"domain_server_url":"https://l"}})", "") == "https://l");
  CHECK(url(R"({"domain_server_url":"https://m","legacy":{"domain_server_url":"https://l"}})",
            "") == "https://m");
  CHECK(url(R"({"domain_server_url":"https://m"})", R"(,"domain_server_url":"https://t")") ==
        "https://t");
  CHECK(url(R"({"domain_server_url":"https://m"})", R"(,"domain_server_url":"")") == "https://m");
  CHECK(url(R"({"domain_server_url":7,"legacy":"x"})", "").empty());
}

TEST_CASE("dms: what the wire keeps in a task's meta is not the runner's", "[node][dms]") {
  const std::string task = R"({"id":"t","capability":"/spatial/sfm/v1","meta":{"profile":"fast",
      "domain_server_url":"https://m","legacy":{"domain_server_url":"https://l"},
      "progress":{"pct":40},"events":[{"at":"noon"}]}})";
  const Result<Lease> lease = decode_lease(R"({"task":)" + task + "}");
  REQUIRE(lease.ok());
  CHECK(lease->domain_server_url == "https://m");
  CHECK(lease->task.meta_json == R"({"profile":"fast"})");
  const Result<LeaseUpdate> update = decode_update(R"({"task":)" + task + "}");
  REQUIRE(update.ok());
  CHECK(update->task->task.meta_json == R"({"profile":"fast"})");
  CHECK(runners::sfm::parse_options(lease->task.meta_json).ok());
}

TEST_CASE("dms: the lease's end falls back to the task's", "[node][dms]") {
  const Result<Lease> lease = decode_lease(
      R"({"task":{"id":"t","capability":"/a","lease_expires_at":"2026-11-20T10:00:10Z"}})");
  REQUIRE(lease.ok());
  CHECK(format_rfc3339(*lease->expires_at) == "2026-11-20T10:00:10.000Z");
}

TEST_CASE("dms: what cannot be read is corrupt, and as much as can be is salvaged", "[node][dms]") {
  struct Case {
    const char* name;
    const char* text;
    const char* task;  // salvaged
  };
  const auto one = GENERATE(values<Case>({
      {"no JSON", "<html>", ""},
      {"no object", "[]", ""},
      {"no task", "{}", ""},
      {"task is no object", R"({"task":[]})", ""},
      {"no id", R"({"task":{"capability":"/a"}})", ""},
      {"no capability", R"({"task":{"id":"t"}})", "t"},
      {"cids of numbers", R"({"task":{"id":"t","capability":"/a","inputs_cids":[1]}})", "t"},
      {"meta is a list", R"({"task":{"id":"t","capability":"/a","meta":[]}})", "t"},
      {"negative attempts", R"({"task":{"id":"t","capability":"/a","attempts":-1}})", "t"},
      {"time", R"({"lease_expires_at":"soon","task":{"id":"t","capability":"/a"}})", "t"},
      {"cancel", R"({"cancel":"no","task":{"id":"t","capability":"/a"}})", "t"},
  }));
  INFO(one.name);
  const Result<Lease> lease = decode_lease(one.text);
  REQUIRE_FALSE(lease.ok());
  CHECK(lease.error().kind == ErrorKind::corrupt);
  const auto broken = decode_broken_lease(one.text);
  CHECK((broken ? broken->task.str() : "") == one.task);
}

TEST_CASE("dms: a heartbeat's answer changes what it names and nothing else", "[node][dms]") {
  Lease lease = *decode_lease(kWhole);
  apply(*decode_update("{}"), lease);
  apply(*decode_update(""), lease);
  apply(*decode_update(R"({"access_token":null,"cancel":null,"task":null,"attempts":null})"),
        lease);
  CHECK(lease.token.reveal() == "tok");
  CHECK(lease.task.attempt == 2);
  CHECK_FALSE(lease.cancel);

  apply(*decode_update(R"({"access_token":"new","lease_expires_at":"2026-11-20T10:01:00Z",
        "status":"running","domain_id":"d2","domain_server_url":"https://two","task_id":"t",
        "job_id":"j2","attempts":3,"max_attempts":4,"deps_remaining":0,"cancel":true})"),
        lease);
  CHECK(lease.token.reveal() == "new");
  CHECK(format_rfc3339(*lease.expires_at) == "2026-11-20T10:01:00.000Z");
  CHECK(lease.task.domain.str() == "d2");
  CHECK(lease.domain_server_url == "https://two");
  CHECK(lease.task.job.str() == "j2");
  CHECK(lease.task.attempt == 3);
  CHECK(lease.task.max_attempts == 4);
  CHECK(lease.cancel);

  apply(*decode_update(R"({"task":{"id":"other","capability":"/a/v1","inputs_cids":["c9"],
        "meta":{"k":1}}})"),
        lease);
  CHECK(lease.task.id.str() == "other");
  CHECK(lease.task.domain.str() == "d2");
  CHECK(lease.task.inputs == std::vector{Cid("c9")});
  CHECK(lease.domain_server_url == "https://two");
}

TEST_CASE("dms: a heartbeat's answer that is no object is corrupt", "[node][dms]") {
  for (const char* text : {"[]", "null", "<", "7", R"({"attempts":"x"})", R"({"task":{}})"}) {
    INFO(text);
    CHECK_FALSE(decode_update(text).ok());
  }
}

TEST_CASE("dms: bodies are as the wire describes them", "[node][dms]") {
  Lease lease = *decode_lease(kWhole);
  const std::vector<storage::Artifact> artifacts{{"out/a.ply", "out_a_t", "ply", DataId("id1")},
                                                 {"b", "b_t", "binary", DataId("id2")}};

  CHECK(parsed(heartbeat_body(LeaseId(), R"({"p":1})", {})) ==
        parsed(R"({"progress":{"p":1},"events":[]})"));
  CHECK(parsed(heartbeat_body(LeaseId("L1"), "7", {"1", R"("two")"})) ==
        parsed(R"({"progress":7,"events":[1,"two"],"lease_id":"L1"})"));

  CHECK(parsed(complete_body(lease, artifacts)) ==
        parsed(R"({"output_cids":["id1","id2"],"lease_id":"L1","meta":{
          "job":{"task_id":"t","job_id":"j","domain_id":"d","capability":"/a/v1"},
          "artifacts":[{"logical_path":"out/a.ply","name":"out_a_t","data_type":"ply","id":"id1"},
                       {"logical_path":"b","name":"b_t","data_type":"binary","id":"id2"}]}})"));

  lease.id = LeaseId();
  lease.task.job = JobId();
  CHECK(parsed(fail_body(lease, {.reason = "r", .error = "e", .retryable = false}, {})) ==
        parsed(R"({"reason":"r","details":{"error":"e","retryable":false,"artifacts":[],
          "job":{"task_id":"t","job_id":null,"domain_id":"d","capability":"/a/v1"}}})"));
  CHECK_FALSE(
      parsed(fail_body(lease, {.reason = "r", .error = "e"}, {}))["details"].contains("retryable"));
  CHECK(
      parsed(setup_failed_body(LeaseId(), SetupStage::build_ports, "why")) ==
      parsed(R"({"reason":"node_setup_failed","details":{"stage":"build_ports","error":"why"}})"));
}

}  // namespace pn::node
