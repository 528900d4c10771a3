#include "market/task_events.hpp"

#include "base/json.hpp"
#include "base/result.hpp"
#include "market/dms_json.hpp"
#include "market/jobs_service.hpp"

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

namespace pn::market {

TEST_CASE("task events: the newest are kept, oldest first", "[market]") {
  CHECK(keep_events("[]", {}) == "[]");
  CHECK(keep_events("[]", {"1", R"({"a":2})"}) == R"([1,{"a":2}])");
  CHECK(keep_events(R"(["x",0])", {"1"}) == R"(["x",0,1])");
  CHECK(keep_events("damaged", {"1"}) == "[1]");

  std::vector<std::string> many;
  for (std::size_t i = 0; i < kEventsKept; ++i) many.push_back(std::to_string(i));
  Json kept = Json::parse(keep_events("[]", many));
  CHECK(kept.size() == kEventsKept);
  kept = Json::parse(keep_events(kept.dump(), {"\"new\""}));
  CHECK(kept.size() == kEventsKept);
  CHECK(kept.front() == 1);
  CHECK(kept.back() == "new");
}

TEST_CASE("task events: old ones make room for large ones", "[market]") {
  const std::string large = "\"" + std::string(40'000, 'x') + "\"";
  CHECK(keep_events("[1]", {large}) == "[1," + large + "]");
  CHECK(keep_events("[1," + large + "]", {large}) == "[" + large + "]");
  CHECK(keep_events("[1]", {"\"" + std::string(70'000, 'x') + "\""}) == "[]");
  CHECK(keep_events("[1]", {"\"" + std::string(70'000, 'x') + "\"", "2"}) == "[2]");
}

TEST_CASE("task events: a million in one heartbeat are as cheap as reading them", "[market]") {
  std::string body = R"({"progress":{},"events":[0)";
  for (int i = 1; i < 1'000'000; ++i) body += ",0";
  body += ",7]}";
  const auto started = std::chrono::steady_clock::now();
  const Result<Json> json = parse_json(body);
  REQUIRE(json.ok());
  const Result<HeartbeatReport> report = parse_heartbeat(*json);
  REQUIRE(report.ok());
  CHECK(report->events.size() == kEventsKept);
  const std::string kept = keep_events("[]", report->events);
  CHECK(kept.size() == 2 * kEventsKept + 1);
  CHECK(kept.ends_with(",7]"));
  const std::vector<std::string> million(1'000'000, "0");
  CHECK(keep_events(kept, million).size() == 2 * kEventsKept + 1);
  // Seconds with a sanitizer; hours when each event moves all others.
  CHECK(std::chrono::steady_clock::now() - started < std::chrono::seconds(60));
}

}  // namespace pn::market
