#include "market/answers.hpp"

#include "base/json.hpp"
#include "base/log.hpp"
#include "base/result.hpp"
#include "http/server.hpp"
#include "tests/support/test_loop.hpp"

#include <string>
#include <string_view>
#include <vector>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

namespace pn::market {
namespace {

Answer failing(Error error) { co_return error; }

}  // namespace

TEST_CASE("answers: the status is the error's, and what is the host's to mend is never a 4xx",
          "[market]") {
  struct Row {
    const char* name;
    Error error;
    int status;
  };
  const std::string sql = "no such table while executing \"SELECT\" in /srv/market";
  const auto row = GENERATE_COPY(values<Row>({
      {"a wrong request", {ErrorKind::rejected, "job_spec", "mine"}, 400},
      {"a damaged request", {ErrorKind::corrupt, "json_syntax", "mine"}, 400},
      {"no token", {ErrorKind::unauthorized, "token_missing", "mine"}, 401},
      {"another domain", {ErrorKind::rejected, "forbidden", "mine"}, 403},
      {"nothing there", {ErrorKind::not_found, "job_missing", "mine"}, 404},
      {"a lost lease", {ErrorKind::rejected, "lease_lost", "mine"}, 409},
      {"busy for now", {ErrorKind::retry, "upload_busy", "mine"}, 503},
      {"a constraint", {ErrorKind::rejected, "database_constraint", sql}, 500},
      {"a read-only database", {ErrorKind::rejected, "database_unwritable", sql}, 500},
      {"a damaged database", {ErrorKind::corrupt, "database_corrupt", sql}, 500},
      {"another fault of SQLite", {ErrorKind::internal, "database_error", sql}, 500},
      {"a database that is held", {ErrorKind::retry, "database_busy", sql}, 503},
      {"a file that is gone", {ErrorKind::not_found, "file_missing", sql}, 500},
      {"a file that is denied", {ErrorKind::rejected, "file_denied", sql}, 500},
      {"a full disk", {ErrorKind::full, "disk_full", sql}, 507},
  }));
  INFO(row.name);
  const http::ServerResponse response = error_answer(row.error);
  CHECK(response.status == row.status);
  const Json told = Json::parse(response.body)["error"];
  CHECK(told["code"] == row.error.code);
  const bool hosts = row.error.detail == sql;
  CHECK(is_host_fault(row.error) == hosts);
  if (hosts) {
    CHECK(response.body.find("executing") == std::string::npos);
    CHECK(response.body.find("/srv") == std::string::npos);
  } else {
    CHECK(told["message"] == "mine");
  }
  CHECK(response.headers.find("retry-after").has_value() == (row.status == 503));
}

TEST_CASE("answers: a host's fault is logged once, with its cause", "[market]") {
  testing::TestLoop loop;
  std::vector<std::string> lines;
  const log::Logger logger({log::Level::info, log::Format::json},
                           [&](log::Level, std::string_view line) { lines.emplace_back(line); });
  const Error mine(ErrorKind::rejected, "database_constraint", "UNIQUE failed: a.b");
  CHECK(loop.run(answered(logger, failing(mine))).status == 500);
  REQUIRE(lines.size() == 1);
  CHECK(Json::parse(lines[0])["event"] == "request.failed");
  CHECK(lines[0].find("UNIQUE failed: a.b") != std::string::npos);
  const Error theirs(ErrorKind::rejected, "job_spec", "wrong");
  CHECK(loop.run(answered(logger, failing(theirs))).status == 400);
  CHECK(lines.size() == 1);
}

}  // namespace pn::market
