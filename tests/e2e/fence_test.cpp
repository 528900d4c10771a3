#include "tests/e2e/scene.hpp"
#include "tests/support/child.hpp"

#include <chrono>
#include <cstddef>
#include <string>

#include <catch2/catch.hpp>
#include <signal.h>

// The real binary, stopped for longer than its lease: what it does when it goes on.

using namespace pn::testing;  // NOLINT(google-build-using-namespace)
using namespace std::chrono_literals;

TEST_CASE("lease_fence: a node that was stopped for two leases writes nothing any more",
          "[e2e][lease_fence]") {
  Scene scene;
  SECTION("in the middle of its work") {
    scene.start(R"({"sleep_secs":30})");
    REQUIRE(scene.turn([&] { return scene.market.of("/heartbeat").size() >= 2; }, 20s));
    const std::size_t beats = scene.market.of("/heartbeat").size();
    scene.freeze();
    const std::size_t polls = scene.polls();
    REQUIRE(scene.turn([&] { return scene.polls() > polls; }, 10s));
    // A beat that was on its way when the process was stopped is refused; no new one is made.
    CHECK(scene.market.of("/heartbeat").size() <= beats + 1);
  }
  SECTION("in the middle of an upload") {
    scene.proxy->stall_after(1'000'000);
    scene.start(R"({"sleep_secs":0.1,"output_bytes":25000000})");
    REQUIRE(scene.turn([&] { return scene.proxy->stalled(); }, 20s));
    scene.freeze();
    scene.proxy->stall_after(std::string::npos);
    const std::size_t polls = scene.polls();
    REQUIRE(scene.turn([&] { return scene.polls() > polls; }, 10s));
    scene.turn([] { return false; }, 200ms);
  }
  CHECK(scene.market.uploads().empty());
  CHECK(scene.market.of("/complete").empty());
  CHECK(scene.market.of("/fail").empty());
  scene.node->signal(SIGTERM);
  bool ended = false;
  // Its goodbye needs the marketplace's loop no more.
  const ChildResult result = scene.node->wait(20s);
  ended = result.code == 0;
  INFO(result.err);
  CHECK(ended);
  // The refusal of a beat that was on its way may be read before the time is looked at.
  CHECK((result.err.find("lease.fenced") != std::string::npos ||
         result.err.find("lease.lost") != std::string::npos));
}
