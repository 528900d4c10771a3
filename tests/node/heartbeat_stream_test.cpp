#include "base/json.hpp"
#include "base/result.hpp"
#include "node/heartbeat_loop.hpp"
#include "node/lease.hpp"
#include "node/metrics.hpp"
#include "tests/node/fake_dms.hpp"
#include "tests/node/heartbeat_fixture.hpp"
#include "tests/support/test_loop.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

namespace pn::node {
namespace {

using namespace std::chrono_literals;
using testing::Reply;
using Fixture = testing::BeatFixture;

}  // namespace

TEST_CASE("heartbeat: progress is gathered, the latest wins, events keep their order",
          "[node][heartbeat]") {
  Fixture f;
  f.open();
  f.start();
  for (int i = 1; i <= 5; ++i) {
    f.beats->set_progress("{\"n\":" + std::to_string(i) + "}");
    f.beats->add_event(std::to_string(i));
  }
  f.loop.advance(250ms);
  REQUIRE(f.dms.calls.size() == 2);
  CHECK(f.last_beat() == *parse_json(R"({"progress":{"n":5},"events":[1,2,3,4,5]})"));
  f.beats->set_progress("{\"n\":5}");  // nothing new
  f.loop.advance(1s);
  CHECK(f.dms.calls.size() == 2);
  f.beats->add_event("6");
  f.loop.advance(250ms);
  CHECK(f.last_beat() == *parse_json(R"({"progress":{"n":5},"events":[6]})"));
}

TEST_CASE("heartbeat: events are sent again until a beat with them is acknowledged",
          "[node][heartbeat]") {
  Fixture f;
  f.open();
  f.start();
  int answers = 0;
  f.dms.on_heartbeat = [&](const Json&) {
    return ++answers <= 2 ? Reply(503, std::string()) : f.renewed();
  };
  f.beats->add_event("1");
  f.loop.advance(250ms);
  f.beats->add_event("2");
  f.loop.advance(3s);
  REQUIRE(answers == 3);
  CHECK(f.last_beat()["events"] == Json::array({1, 2}));
  f.loop.advance(11s);
  CHECK(f.last_beat()["events"] == Json::array());
}

TEST_CASE("heartbeat: many events go in several beats, one after the other", "[node][heartbeat]") {
  Fixture f;
  f.open();
  f.start();
  const std::string big = "\"" + std::string(50'000, 'x') + "\"";
  for (int i = 0; i < 20; ++i) f.beats->add_event(big);
  f.loop.advance(250ms);
  std::size_t sent = 0;
  for (const auto& call : f.dms.of("heartbeat")) {
    CHECK(call.body["events"].size() <= 6);
    sent += call.body["events"].size();
  }
  CHECK(sent == 20);
}

TEST_CASE("lease_fence: past the fence the lease has ended for whoever asks first",
          "[node][lease_fence]") {
  Fixture f;
  f.open();
  f.start();
  CHECK_FALSE(f.fence.passed(f.loop.clock));
  // The process did not run meanwhile: no timer has told the loop.
  f.loop.clock.advance(31s);
  CHECK(f.fence.passed(f.loop.clock));
  CHECK(f.beats->end() == LeaseEnd::fenced);
  const std::size_t beats = f.dms.calls.size();
  f.loop.poll();
  CHECK(f.running->done());
  CHECK(f.dms.calls.size() == beats);
  CHECK(f.metrics.text().find("fenced") != std::string::npos);
}

TEST_CASE("heartbeat: a task that gets another id is beaten for by that one", "[node][heartbeat]") {
  Fixture f;
  f.dms.on_heartbeat = [&](const Json&) {
    Reply out = f.renewed();
    Json body = *parse_json(out.body);
    body["task_id"] = "t2";
    return Reply(200, body);
  };
  f.open();
  f.start();
  f.loop.advance(12s);
  CHECK(f.dms.calls[0].path == "/v1/tasks/t1/heartbeat");
  CHECK(f.dms.calls[1].path == "/v1/tasks/t2/heartbeat");
  CHECK(f.lease.task.id.str() == "t2");
}

TEST_CASE("heartbeat: what is dropped while a beat says so is counted anew", "[node][heartbeat]") {
  Fixture f;
  f.open();
  const std::string large = '"' + std::string(60'000, 'x') + '"';
  for (int i = 0; i < 200; ++i) f.beats->add_event(large);
  std::uint64_t kept = 0;
  std::uint64_t dropped = 0;
  f.dms.on_heartbeat = [&](const Json& body) {
    for (const Json& event : body["events"]) {
      if (event.is_object()) {
        dropped += event["count"].get<std::uint64_t>();
      } else {
        ++kept;
      }
    }
    for (int i = 0; i < 10 && kept < 300; ++i) f.beats->add_event(large);
    Reply slow = f.renewed();
    slow.after = 100ms;
    return slow;
  };
  f.start();
  f.loop.advance(60s);
  CHECK(dropped > 0);
  CHECK(f.metrics.text().find("posenode_events_dropped_total " + std::to_string(dropped) + "\n") !=
        std::string::npos);
}

TEST_CASE("heartbeat: what is dropped is counted, and the stream says where", "[node][heartbeat]") {
  Fixture f;
  f.open();
  for (int i = 0; i < 10'003; ++i) f.beats->add_event(std::to_string(i));
  std::vector<Json> told;
  f.dms.on_heartbeat = [&](const Json& body) {
    for (const Json& event : body["events"]) told.push_back(event);
    return f.renewed();
  };
  f.start();
  f.loop.advance(1s);
  for (int i = 0; i < 2; ++i) f.beats->add_event(R"("after")");
  f.loop.advance(1s);
  REQUIRE(told.size() == 10'003);
  CHECK(told[9'999] == 9'999);
  CHECK(told[10'000] == *parse_json(R"({"event":"events_dropped","count":3})"));
  CHECK(told[10'001] == "after");
  CHECK(f.metrics.text().find("posenode_events_dropped_total 3") != std::string::npos);
}

}  // namespace pn::node
