#include "base/awaitable.hpp"
#include "base/file.hpp"
#include "base/json.hpp"
#include "base/result.hpp"
#include "http/client.hpp"
#include "node/config.hpp"
#include "node/node.hpp"
#include "tests/node/node_fixture.hpp"
#include "tests/node/node_world.hpp"
#include "tests/support/fake_marketplace.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <catch2/catch.hpp>

namespace pn::node {

TEST_CASE("node: the first stop finishes the task, the second reports it", "[node][e2e][mt]") {
  World world;
  world.add(sleep_long);
  world.market.offer("t1");
  world.start();
  REQUIRE(world.turn([&] { return world.logged("task.started"); }));
  world.node->request_stop();
  REQUIRE(world.turn([&] { return world.logged("node.draining"); }));
  CHECK_FALSE(world.node_done);
  CHECK(world.node->busy_slots() == 1);
  world.node->cancel_tasks();
  REQUIRE(world.turn([&] { return world.node_done; }));
  REQUIRE(world.market.of("/fail").size() == 1);
  CHECK(world.market.of("/fail")[0].json()["reason"] == "node_shutdown");
  REQUIRE(world.result);
  CHECK(world.result->ok());
}

TEST_CASE("node: a drain that takes too long is cut, and reported", "[node][e2e][mt]") {
  World world;
  world.config.drain_timeout = 1s;
  world.add(sleep_long);
  world.market.offer("t1");
  world.start();
  REQUIRE(world.turn([&] { return world.logged("task.started"); }));
  world.node->request_stop();
  REQUIRE(world.turn([&] { return world.node_done; }));
  CHECK(world.market.of("/fail").size() == 1);
}

TEST_CASE("node: what is wrong with the set-up is said before anything is asked",
          "[node][e2e][mt]") {
  World world;
  std::string code;
  std::unique_ptr<World> other;
  SECTION("no capability") { code = "no_capability"; }
  SECTION("state folder taken") {
    world.add(succeed);
    other = std::make_unique<World>();
    other->add(succeed);
    other->config.state_dir = world.config.state_dir;
    other->start();
    REQUIRE(other->turn([&] { return other->logged("node.started"); }));
    code = "state_locked";
  }
  SECTION("status address taken") {
    world.add(succeed);
    other = std::make_unique<World>();
    other->add(succeed);
    other->start();
    REQUIRE(other->turn([&] { return other->node->status_port() != 0; }));
    world.config.status_addr.port = other->node->status_port();
    code = "address_in_use";
  }
  world.start();
  REQUIRE(world.turn([&] { return world.node_done; }));
  REQUIRE(world.result);
  REQUIRE_FALSE(world.result->ok());
  CHECK(world.result->error().code == code);
  CHECK(world.result->error().kind == ErrorKind::rejected);
  CHECK(world.market.calls.empty());
}

TEST_CASE("node: without a control socket it works, and says why there is none",
          "[node][e2e][mt][control]") {
  World world;
  world.add(succeed);
  // As on a file system without sockets: nothing can be bound there.
  std::filesystem::create_directories(world.config.state_dir / "control.sock/in-the-way");
  world.market.offer("t1");
  world.start();
  REQUIRE(world.turn([&] { return world.market.of("/complete").size() == 1; }));
  CHECK(world.logged("control.unavailable"));
  CHECK(world.logged("control.sock"));
  CHECK(world.node->status_port() != 0);
}

TEST_CASE("health: /livez, /readyz, /metrics and the page tell how it is",
          "[node][e2e][mt][health]") {
  World world;
  world.add(succeed);
  bool refuse = true;
  world.market.on_claim = [&](const Call&) -> std::optional<Answer> {
    if (refuse) return Answer{.status = 503};
    return std::nullopt;
  };
  world.start();
  REQUIRE(world.turn([&] { return world.logged("poll.failed"); }));
  const auto ask = [&](std::string_view path) {
    const std::string base = "http://127.0.0.1:" + std::to_string(world.node->status_port());
    std::optional<http::Response> out;
    const auto get = [&]() -> Awaitable<void> {
      http::Request request(http::Url::parse(base).value().with_path(path));
      auto response = co_await world.control_http->send(std::move(request));
      if (response) out = *std::move(response);
    };
    bool done = false;
    asio::co_spawn(world.control, get(), [&](std::exception_ptr) { done = true; });
    REQUIRE(world.turn([&] { return done; }));
    REQUIRE(out);
    return *out;
  };
  CHECK(ask("/livez").status == 200);
  const http::Response not_ready = ask("/readyz");
  CHECK(not_ready.status == 503);
  const Json checks = (*parse_json(not_ready.body))["checks"];
  CHECK(checks[0]["name"] == "token");
  CHECK(checks[0]["ok"] == true);
  CHECK(checks[1]["name"] == "poll");
  CHECK(checks[1]["ok"] == false);
  refuse = false;
  const std::size_t polls = world.market.of("/v1/tasks").size();
  REQUIRE(world.turn([&] { return world.market.of("/v1/tasks").size() > polls + 1; }));
  CHECK(ask("/readyz").status == 200);

  const http::Response metrics = ask("/metrics");
  CHECK(metrics.headers.find("content-type") == "text/plain; version=0.0.4; charset=utf-8");
  CHECK(metrics.body.find("posenode_check_ok{check=\"poll\"} 1\n") != std::string::npos);
  CHECK(metrics.body.find("posenode_slots{state=\"all\"} 1\n") != std::string::npos);
  CHECK(metrics.body.find("posenode_cache_bytes 0\n") != std::string::npos);
  const Json status = *parse_json(ask("/status.json").body);
  CHECK(status["state"] == "leasing");
  CHECK(status["cache"]["path"] == (world.config.work_dir / "cache").string());
  CHECK(status["cache"]["max_bytes"] == std::int64_t{20} << 30);

  const http::Response page = ask("/");
  CHECK(page.headers.find("content-type") == "text/html; charset=utf-8");
  CHECK(page.body.starts_with("<!doctype html>"));
  const std::string policy(page.headers.find("content-security-policy").value_or(""));
  CHECK(policy.find("script-src 'sha256-") != std::string::npos);
  CHECK(policy.find("unsafe") == std::string::npos);
  CHECK(page.headers.find("x-content-type-options") == "nosniff");
  CHECK(page.headers.find("cache-control") == "no-store");
}

TEST_CASE("node: a failed task's workspace is kept and its path logged", "[node][e2e][mt]") {
  World world;
  world.add([](TaskContext& task) -> Awaitable<Result<void>> {
    const Result<void> written = write_file(task.workspace() / "evidence", "x");
    co_return Error(ErrorKind::internal, "broke", "it broke");
  });
  world.market.offer("t1");
  world.start();
  REQUIRE(world.turn([&] { return world.logged("workspace.kept"); }));
  std::size_t kept = 0;
  for (const auto& entry : std::filesystem::directory_iterator(world.config.work_dir)) {
    if (entry.path().filename() == "cache") continue;
    CHECK(std::filesystem::exists(entry.path() / "evidence"));
    ++kept;
  }
  CHECK(kept == 1);
}

}  // namespace pn::node
