#include "bin/jobs.hpp"

#include "base/ids.hpp"
#include "base/json.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "bin/artifact_paths.hpp"
#include "bin/exit_codes.hpp"
#include "bin/job_follow.hpp"
#include "bin/job_spec.hpp"

#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

using namespace pn;       // NOLINT(google-build-using-namespace)
using namespace pn::bin;  // NOLINT(google-build-using-namespace)

namespace {

/// A job of one failed and one completed task, as DMS answers it.
Json job_json() {
  return Json::parse(R"({
    "job":{"id":"j1","label":"scan","status":"failed","domain_id":"d1","priority":0,
           "created_at":"2026-11-20T10:00:00Z","updated_at":null,"meta":{}},
    "tasks_summary":{"queued":0,"leased":0,"running":0,"completed":1,"failed":1,"canceled":0},
    "tasks":[
      {"id":"t1","label":"a","stage":"s","capability":"/noop/v1","status":"failed","attempts":3,
       "max_attempts":3,"outputs_prefix":"/out/","reserved_by":"node-1234567890",
       "meta":{"progress":{"stage":"mapping","pct":40,"done":4,"total":10,"unit":"photos"}}},
      {"id":"t2","label":"b","stage":"s","capability":"/noop/v1","status":"completed","attempts":1,
       "max_attempts":3,"outputs_prefix":null,"meta":{"progress":"half"}}],
    "receipts":[
      {"id":"r1","job_id":"j1","task_id":"t1","node_id":"node-1234567890","outputs":[],
       "created_at":"2026-11-20T10:01:00Z",
       "meta":{"reason":"too_few_photos","details":{"error":"2 of 10","artifacts":[
         {"logical_path":"out/old.txt","name":"old","data_type":"txt_data","id":"x0"}]}}},
      {"id":"r2","job_id":"j1","task_id":"t1","node_id":"node-1234567890","outputs":[],
       "created_at":"2026-11-20T10:02:00Z",
       "meta":{"reason":"too_few_photos","details":{"error":"2 of 10","artifacts":[
         {"logical_path":"out/log.txt","name":"log","data_type":"txt_data","id":"x1"}]}}},
      {"id":"r3","job_id":"j1","task_id":"t2","outputs":["x2"],"created_at":"2026-11-20T10:03:00Z",
       "meta":{"artifacts":[
         {"logical_path":"mesh/low.obj","name":"low","data_type":"obj","id":"x2"}]}}]})");
}

JobDetails details() {
  Result<JobDetails> out = parse_job_details(job_json());
  REQUIRE(out);
  return std::move(*out);
}

}  // namespace

TEST_CASE("job: a record is read, whatever a runner wrote into its meta", "[bin][job]") {
  const JobDetails job = details();
  CHECK(job.job.ended());
  CHECK(job.counts.total() == 2);
  REQUIRE(job.tasks.size() == 2);
  REQUIRE(job.tasks[0].progress);
  CHECK(job.tasks[0].progress->done == 4);
  CHECK_FALSE(job.tasks[1].progress);
  REQUIRE(job.receipts.size() == 3);
  CHECK(job.receipts[0].reason == "too_few_photos");
  CHECK(job.receipts[2].reason.empty());
}

TEST_CASE("job: what is no record is corrupt", "[bin][job]") {
  const std::string text = GENERATE("{}",
                                    "[]",
                                    R"({"job":{}})",
                                    R"({"job":{"id":"x"},"tasks":{}})",
                                    R"({"job":{"id":"x"},"tasks":[{"id":7}]})",
                                    R"({"job":{"id":"x"},"receipts":["r"]})");
  const Result<JobDetails> out = parse_job_details(Json::parse(text));
  REQUIRE_FALSE(out);
  CHECK(out.error().kind == ErrorKind::corrupt);
}

TEST_CASE("job: failures say which attempt failed, where and why", "[bin][job]") {
  const std::string text = failures_text(details());
  CHECK(text.find("a, attempt 1, node node-123: too_few_photos: 2 of 10\n") != std::string::npos);
  CHECK(text.find("1 of its attempts ended without a report") != std::string::npos);
  CHECK(text.find("b,") == std::string::npos);
}

TEST_CASE("job: a server that lists attempts tells also of those without a report", "[bin][job]") {
  Json json = job_json();
  json["receipts"][0]["attempt"] = 1;
  json["receipts"][1]["attempt"] = 3;
  json["attempts"] = Json::parse(R"([
    {"task_id":"t1","attempt":1,"node_id":"n1","outcome":"failed","reason":"too_few_photos"},
    {"task_id":"t1","attempt":2,"node_id":"n2","outcome":"lease_expired"},
    {"task_id":"t1","attempt":3,"node_id":"n1","outcome":"failed","reason":"too_few_photos"},
    {"task_id":"t2","attempt":1,"node_id":"n1","outcome":"completed"}])");
  const Result<JobDetails> job = parse_job_details(json);
  REQUIRE(job);
  CHECK(failures_text(*job) ==
        "a, attempt 1, node n1: too_few_photos: 2 of 10\n"
        "a, attempt 2, node n2: lease_expired\n"
        "a, attempt 3, node n1: too_few_photos: 2 of 10\n");
}

TEST_CASE("job: the last report's artifacts are wanted, under their own paths", "[bin][job]") {
  const Result<std::vector<WantedFile>> files = wanted_files(details());
  REQUIRE(files);
  CHECK(*files == std::vector<WantedFile>{{DataId("x1"), "a/log.txt", "txt_data"},
                                          {DataId("x2"), "b/mesh/low.obj", "obj"}});
}

TEST_CASE("job: one task's artifacts need no folder; two of one label get their ids",
          "[bin][job]") {
  JobDetails job = details();
  job.tasks.erase(job.tasks.begin());
  const Result<std::vector<WantedFile>> single = wanted_files(job);
  REQUIRE(single);
  REQUIRE(single->size() == 1);
  CHECK(single->front().path == "mesh/low.obj");

  job = details();
  job.tasks[1].label = "a";
  const Result<std::vector<WantedFile>> same = wanted_files(job);
  REQUIRE(same);
  CHECK(same->at(0).path == "a_t1/log.txt");
  CHECK(same->at(1).path == "a_t2/mesh/low.obj");
}

TEST_CASE("job: no artifact leaves the folder", "[bin][job]") {
  const std::string bad = GENERATE("", "/etc/passwd", "../x", "a/../x", "a//b", "a/.", "a/");
  CHECK_FALSE(safe_relative(bad));
  CHECK_FALSE(safe_relative(std::string_view("a\0b", 3)));
  JobDetails job = details();
  job.receipts[2].artifacts[0].logical_path = bad.empty() ? ".." : bad;
  CHECK_FALSE(wanted_files(job));
  job = details();
  job.tasks[0].label = "../up";
  const Result<std::vector<WantedFile>> files = wanted_files(job);
  REQUIRE(files);
  CHECK(files->front().path == "_.._up/log.txt");
}

TEST_CASE("job: watching costs the same for every job", "[bin][job]") {
  CHECK(watch_pause(Millis(100), 1) == Millis(100));
  CHECK(watch_pause(Millis(100), 3'000) == Millis(3'000));
  CHECK(watch_pause(Millis(1'000), 200) == Millis(1'000));
  CHECK(watch_pause(Millis(1'000), 1'000'000) == Millis(10'000));
}

TEST_CASE("job: a spec from options", "[bin][job]") {
  SimpleJob job;
  job.capability = Capability("/spatial/sfm/v1");
  job.inputs = {"id-1"};
  job.meta_json = R"({"profile":"fast"})";
  job.count = 2;
  job.max_attempts = 1;
  const Result<Json> spec = make_spec(job, DomainId("d1"));
  REQUIRE(spec);
  CHECK((*spec)["label"] == "sfm");
  CHECK((*spec)["domain_id"] == "d1");
  REQUIRE((*spec)["tasks"].size() == 2);
  CHECK((*spec)["tasks"][1]["label"] == "sfm-2");
  CHECK((*spec)["tasks"][1]["meta"]["profile"] == "fast");
  CHECK((*spec)["tasks"][0]["max_attempts"] == 1);
  job.meta_json = "[1]";
  CHECK_FALSE(make_spec(job, DomainId("d1")));
}

TEST_CASE("job: a spec file gets the domain, and may not name another", "[bin][job]") {
  const Result<Json> filled = read_spec(R"({"label":"x","tasks":[]})", "f", DomainId("d1"));
  REQUIRE(filled);
  CHECK((*filled)["domain_id"] == "d1");
  for (const char* bad : {"", "[]", "{}", R"({"tasks":[],"domain_id":"d2"})"}) {
    const Result<Json> spec = read_spec(bad, "f", DomainId("d1"));
    REQUIRE_FALSE(spec);
    CHECK(spec.error().kind == ErrorKind::rejected);
  }
}

TEST_CASE("job: a capability's short name", "[bin][job]") {
  CHECK(short_name(Capability("/spatial/sfm/v1")) == "sfm");
  CHECK(short_name(Capability("/noop/v1")) == "noop");
  CHECK(short_name(Capability("/thing")) == "thing");
  CHECK(short_name(Capability("/")) == "task");
}

TEST_CASE("exit codes: by what the caller may do next", "[bin][exit]") {
  const auto code = [](ErrorKind kind, const char* name) {
    return exit_code(Error(kind, name, "x"));
  };
  CHECK(code(ErrorKind::retry, "curl_connect") == 75);
  CHECK(code(ErrorKind::full, "http_507") == 75);
  CHECK(code(ErrorKind::not_found, "http_404") == 27);
  CHECK(code(ErrorKind::not_found, "file_missing") == 2);
  CHECK(code(ErrorKind::rejected, "http_400") == 2);
  CHECK(code(ErrorKind::unauthorized, "http_401") == 3);
  CHECK(code(ErrorKind::corrupt, "json_field") == 1);
  CHECK(code(ErrorKind::internal, "file_io") == 1);
  CHECK(code(ErrorKind::internal, "file_denied") == 2);
  CHECK(code(ErrorKind::internal, "plain_http") == 2);
  JobRecord job;
  for (const auto& [status, want] :
       {std::pair{"completed", 0}, {"failed", 10}, {"canceled", 11}, {"running", 28}}) {
    job.status = status;
    CHECK(exit_code_of_job(job) == want);
  }
}
