#include "base/awaitable.hpp"
#include "base/json.hpp"
#include "base/result.hpp"
#include "node/config.hpp"
#include "node/node.hpp"
#include "storage/ports.hpp"
#include "tests/node/node_fixture.hpp"
#include "tests/node/node_world.hpp"
#include "tests/support/fake_marketplace.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <catch2/catch.hpp>

namespace pn::node {

TEST_CASE("node: from registration to receipt", "[node][e2e][mt]") {
  World world;
  world.add([](TaskContext& task) -> Awaitable<Result<void>> {
    task.progress(R"({"percent":50})");
    const storage::PutOptions options;
    const auto put = co_await task.outputs().put_bytes("hello.json", "{}", options);
    if (!put) co_return put.error();
    co_return Result<void>();
  });
  world.market.offer("t1");
  world.start();
  REQUIRE(world.turn([&] { return world.market.of("/complete").size() == 1; }));

  const auto registered = world.market.of("/register-wallet");
  REQUIRE(registered.size() == 1);
  CHECK(registered[0].json()["capabilities"] == Json::array({"/noop/v1"}));
  CHECK(registered[0].json()["version"] == "1.2.3");
  CHECK(registered[0].json()["registration_credentials"] == "reg-secret");
  CHECK(world.market.of("/v1/tasks")[0].bearer == "node-token-1");
  REQUIRE_FALSE(world.market.of("/heartbeat").empty());
  CHECK(world.market.of("/heartbeat").back().json()["progress"]["percent"] == 50);
  REQUIRE(world.market.uploads().size() == 1);
  CHECK(world.market.uploads()[0].bearer == "task-token-1");
  const Json receipt = world.market.of("/complete")[0].json();
  CHECK(receipt["output_cids"] == Json::array({"data-1"}));
  CHECK(receipt["meta"]["artifacts"][0]["logical_path"] == "hello.json");
  CHECK(world.market.of("/complete")[0].bearer == "node-token-1");
  CHECK(world.logged("node.started"));
  CHECK(world.logged("address=0xfdbb6caf01414300c16ea14859fec7736d95355f"));
  CHECK(world.logged("capabilities=/noop/v1"));
  CHECK_FALSE(world.logged("reg-secret"));
  CHECK_FALSE(world.logged("task-token-1"));
  CHECK_FALSE(world.logged("node-token-1"));

  world.node->request_stop();
  REQUIRE(world.turn([&] { return world.node_done; }));
  CHECK_FALSE(world.node_failure);
  REQUIRE(world.result);
  CHECK(world.result->ok());
}

TEST_CASE("node: a task without news is three requests, and the next follows at once",
          "[node][e2e][mt]") {
  World world;
  world.add(succeed);
  constexpr std::size_t kTasks = 50;
  for (std::size_t i = 0; i < kTasks; ++i) world.market.offer("t" + std::to_string(i));
  world.start();
  std::size_t completed = 0;
  world.market.on_receipt = [&](const Call&) -> std::optional<Answer> {
    ++completed;
    return std::nullopt;
  };
  REQUIRE(world.turn([&] { return completed == kTasks; }));
  CHECK(world.market.of("/heartbeat").size() == kTasks);
  CHECK(world.market.of("/v1/tasks").size() <= kTasks + 1);
}

TEST_CASE("node: a token rotated by a heartbeat is used by the next upload", "[node][e2e][mt]") {
  World world;
  std::atomic<bool> rotated{false};
  world.add([&](TaskContext& task) -> Awaitable<Result<void>> {
    const storage::PutOptions options;
    const auto one = co_await task.outputs().put_bytes("one.json", "1", options);
    task.event("\"rotate\"");
    while (!rotated) co_await task.clock().sleep_for(1ms);
    co_await task.clock().sleep_for(50ms);  // the answer is on its way
    const auto two = co_await task.outputs().put_bytes("two.json", "2", options);
    co_return Result<void>();
  });
  world.market.on_heartbeat = [&](const Call& call) -> std::optional<Answer> {
    if (call.json()["events"].empty()) return std::nullopt;
    rotated = true;
    return Answer{.status = 200, .body = R"({"access_token":"task-token-2"})"};
  };
  world.market.offer("t1");
  world.start();
  REQUIRE(world.turn([&] { return world.market.of("/complete").size() == 1; }));
  REQUIRE(world.market.uploads().size() == 2);
  CHECK(world.market.uploads()[0].bearer == "task-token-1");
  CHECK(world.market.uploads()[1].bearer == "task-token-2");
}

TEST_CASE("node: a refused task token is renewed by a heartbeat in the middle of an upload",
          "[node][e2e][mt]") {
  World world;
  world.add([](TaskContext& task) -> Awaitable<Result<void>> {
    const storage::PutOptions options;
    const auto put = co_await task.outputs().put_bytes("one.json", "1", options);
    if (!put) co_return put.error();
    co_return Result<void>();
  });
  world.market.on_upload = [](const Call& call) -> std::optional<Answer> {
    if (call.bearer == "task-token-2") return std::nullopt;
    return Answer{.status = 401};
  };
  int beats = 0;
  world.market.on_heartbeat = [&](const Call&) -> std::optional<Answer> {
    if (++beats == 1) return std::nullopt;
    return Answer{.status = 200, .body = R"({"access_token":"task-token-2"})"};
  };
  world.market.offer("t1");
  world.start();
  REQUIRE(world.turn(
      [&] { return world.market.of("/complete").size() + world.market.of("/fail").size() == 1; }));
  CHECK(world.market.of("/complete").size() == 1);
  CHECK(beats == 2);
}

TEST_CASE("node: cancel stops the runner and sends no receipt", "[node][e2e][mt]") {
  World world;
  std::atomic<bool> unwound{false};
  world.add([&](TaskContext& task) -> Awaitable<Result<void>> {
    struct Note {
      std::atomic<bool>& flag;
      ~Note() { flag = true; }
    };
    const Note note{unwound};
    task.progress("1");
    co_await task.clock().sleep_for(1h);
    co_return Result<void>();
  });
  world.market.on_heartbeat = [](const Call& call) -> std::optional<Answer> {
    if (call.json()["progress"] != 1) return std::nullopt;
    return Answer{.status = 200, .body = R"({"cancel":true})"};
  };
  world.market.offer("t1");
  world.start();
  REQUIRE(world.turn([&] { return unwound.load(); }));
  const std::size_t polls = world.market.of("/v1/tasks").size();
  REQUIRE(world.turn([&] { return world.market.of("/v1/tasks").size() > polls; }));
  CHECK(world.market.of("/complete").empty());
  CHECK(world.market.of("/fail").empty());
}

TEST_CASE("node: a runner's failure sends fail with the artifacts so far", "[node][e2e][mt]") {
  World world;
  world.add([](TaskContext& task) -> Awaitable<Result<void>> {
    const storage::PutOptions options;
    const auto put = co_await task.outputs().put_bytes("log.txt", "why", options);
    co_return Error(ErrorKind::rejected, "too_few_photos", "2 photos are too few");
  });
  world.market.offer("t1");
  world.start();
  REQUIRE(world.turn([&] { return world.market.of("/fail").size() == 1; }));
  const Json body = world.market.of("/fail")[0].json();
  CHECK(body["reason"] == "too_few_photos");
  CHECK(body["details"]["retryable"] == false);
  CHECK(body["details"]["artifacts"][0]["logical_path"] == "log.txt");
  CHECK(body["details"]["artifacts"][0]["id"] == "data-1");
}

TEST_CASE("node: set-up failures send node_setup_failed", "[node][e2e][mt]") {
  World world;
  world.add(succeed);
  std::string stage;
  SECTION("start_session") {
    world.market.offer("t1", Json::object(), Json{{"capability", "/unknown/v1"}});
    stage = "start_session";
  }
  SECTION("initial_heartbeat") {
    world.market.on_heartbeat = [](const Call&) { return Answer{.status = 400}; };
    world.market.offer("t1");
    stage = "initial_heartbeat";
  }
  SECTION("build_ports") {
    world.market.offer("t1", Json{{"domain_server_url", nullptr}});
    stage = "build_ports";
  }
  world.start();
  REQUIRE(world.turn([&] { return world.market.of("/fail").size() == 1; }));
  const Json body = world.market.of("/fail")[0].json();
  CHECK(body["reason"] == "node_setup_failed");
  CHECK(body["details"]["stage"] == stage);
}

TEST_CASE("node: a 401 of DMS renews the node's token once, and goes on", "[node][e2e][mt]") {
  World world;
  world.add(succeed);
  const auto only_second = [](const Call& call) -> std::optional<Answer> {
    if (call.bearer != "node-token-1") return std::nullopt;
    return Answer{.status = 401};
  };
  SECTION("claim") { world.market.on_claim = only_second; }
  SECTION("heartbeat") { world.market.on_heartbeat = only_second; }
  SECTION("receipt") { world.market.on_receipt = only_second; }
  world.market.offer("t1");
  world.start();
  const auto good = [&] {
    for (const Call& call : world.market.of("/complete")) {
      if (call.bearer == "node-token-2") return true;
    }
    return false;
  };
  REQUIRE(world.turn(good));
  CHECK(world.market.of("/siwe/verify").size() == 2);
}

TEST_CASE("node: several slots work at once", "[node][e2e][mt]") {
  World world;
  world.config.max_concurrency = 4;
  std::atomic<int> inside{0};
  world.add([&](TaskContext& task) -> Awaitable<Result<void>> {
    ++inside;
    while (inside < 4) co_await task.clock().sleep_for(1ms);
    co_return Result<void>();
  });
  for (int i = 0; i < 4; ++i) world.market.offer("t" + std::to_string(i));
  world.start();
  REQUIRE(world.turn([&] { return world.market.of("/complete").size() == 4; }));
}

}  // namespace pn::node
