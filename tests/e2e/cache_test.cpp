#include "base/json.hpp"
#include "tests/storage/fake_domain_server.hpp"
#include "tests/support/node_process.hpp"
#include "tests/support/test_loop.hpp"

#include <cstddef>
#include <string>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

// The real binary, as it puts its parts together: what its tasks have in common comes once.

using namespace pn::testing;  // NOLINT(google-build-using-namespace)

TEST_CASE("cache: tasks with the same input fetch it once, also side by side", "[e2e][cache]") {
  TestLoop loop;
  FakeDomainServer server(loop);
  server.payload = 0;
  const std::string input(300'000, 'x');
  const std::string id = server.add("scan", "obj", input);
  NodeProcess node(POSENODE_BINARY);
  const bool kept = GENERATE(true, false);
  node.settings["CACHE_MAX_GB"] = kept ? "1" : "0";
  node.settings["MAX_CONCURRENCY"] = "2";
  const auto offer = [&](const char* task) {
    node.market.offer(
        task,
        {{"access_token", "t1"}, {"domain_id", "d1"}, {"domain_server_url", server.url().str()}},
        {{"inputs_cids", pn::Json::array({id})}, {"meta", {{"sleep_secs", 0}}}});
  };
  const auto completed = [&](std::size_t count) {
    return node.turn([&] {
      loop.poll();
      return node.market.of("/complete").size() == count;
    });
  };
  offer("t1");
  offer("t2");
  node.start();
  REQUIRE(completed(2));
  offer("t3");
  REQUIRE(completed(3));
  CHECK(server.payload / input.size() == (kept ? 1 : 3));
  node.child.reset();
}
