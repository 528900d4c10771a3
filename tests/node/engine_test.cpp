#include "node/engine.hpp"

#include "base/awaitable.hpp"
#include "base/json.hpp"
#include "base/result.hpp"
#include "runners/task_context.hpp"
#include "tests/node/engine_fixture.hpp"
#include "tests/node/fake_dms.hpp"
#include "tests/node/node_fixture.hpp"
#include "tests/support/test_loop.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>

#include <catch2/catch.hpp>

namespace pn::node {
namespace {

using namespace std::chrono_literals;
using runners::TaskContext;
using testing::EngineFixture;
using testing::envelope;
using testing::FakeDms;
using testing::Reply;
using testing::succeed;

Awaitable<Result<void>> for_ten_seconds(TaskContext& task) {
  co_await task.clock().sleep_for(std::chrono::seconds(10));
  co_return Result<void>();
}

}  // namespace

TEST_CASE("control: --once takes no second task while its receipt is not taken",
          "[node][engine][control]") {
  EngineFixture f;
  f.mode = RunMode::once;
  f.add(succeed);
  int refused = 0;
  f.dms.on_receipt = [&](const FakeDms::Call&) {
    return ++refused <= 3 ? Reply(503, std::string()) : Reply(200, Json::object());
  };
  f.offer("t1");
  f.offer("t2");
  f.start();
  f.poll_until([&] { return refused == 1; });
  for (int i = 0; i < 60 && !f.running->done(); ++i) {
    f.loop.advance(1s);
    f.poll_until([] { return true; });
  }
  f.poll_until([&] { return f.running->done(); });
  CHECK(refused == 4);
  CHECK(f.polls() == 1);
  CHECK(f.engine->end() == RunEnd::completed);
}

TEST_CASE("engine: after work it polls at once, and a task costs three requests",
          "[node][engine]") {
  EngineFixture f;
  f.add(succeed);
  for (int i = 0; i < 100; ++i) f.offer("t" + std::to_string(i));
  f.start();
  CHECK(f.dms.count("complete") == 100);
  CHECK(f.polls() == 101);
  CHECK(f.dms.calls.size() == 301);
}

TEST_CASE("engine: idle it waits a random time between the two", "[node][engine]") {
  EngineFixture f;
  f.add(succeed);
  f.start();
  CHECK(f.polls() == 1);
  f.loop.advance(999ms);
  CHECK(f.polls() == 1);
  f.loop.advance(30s);
  CHECK(f.polls() >= 2);
  f.loop.advance(3600s);
  CHECK(f.polls() > 120);
  CHECK(f.polls() < 1000);
}

TEST_CASE("engine: as many tasks at a time as slots, no more", "[node][engine]") {
  EngineFixture f;
  f.config.max_concurrency = 3;
  std::size_t now = 0;
  std::size_t most = 0;
  f.add([&](TaskContext& task) -> Awaitable<Result<void>> {
    most = std::max(most, ++now);
    co_await task.clock().sleep_for(10s);
    --now;
    co_return Result<void>();
  });
  for (int i = 0; i < 9; ++i) f.offer("t" + std::to_string(i));
  f.start();
  CHECK(f.engine->busy() == 3);
  CHECK(f.polls() == 3);
  f.loop.advance(31s);
  CHECK(most == 3);
  CHECK(f.dms.count("complete") == 9);
}

TEST_CASE("engine: a task that ends wakes an idle poll", "[node][engine]") {
  EngineFixture f;
  f.config.max_concurrency = 2;
  f.config.poll_backoff_min = 3600s;
  f.config.poll_backoff_max = 3600s;
  f.add(for_ten_seconds);
  f.offer("t1");
  f.start();
  CHECK(f.polls() == 2);  // one lease, then nothing
  f.loop.advance(9s);
  CHECK(f.polls() == 2);
  f.loop.advance(2s);
  CHECK(f.polls() == 3);
}

TEST_CASE("engine: 409 is no work, Retry-After is honoured", "[node][engine]") {
  EngineFixture f;
  f.add(succeed);
  Reply busy(409, std::string());
  busy.headers.set("retry-after", "100");
  f.dms.claims.push_back(busy);
  f.start();
  CHECK(f.engine->status().last_answer);
  CHECK_FALSE(f.engine->status().last_error);
  f.loop.advance(99s);
  CHECK(f.polls() == 1);
  f.loop.advance(31s);  // and a random time on top: all nodes were told the same
  CHECK(f.polls() >= 2);
}

TEST_CASE("engine: errors are waited out and shown", "[node][engine]") {
  EngineFixture f;
  f.add(succeed);
  for (int i = 0; i < 5; ++i) f.dms.claims.push_back(Reply(500, std::string()));
  f.dms.claims.push_back(Reply(200, std::string("<html>")));
  f.offer("t1");
  f.start();
  REQUIRE(f.engine->status().last_error);
  f.loop.advance(200s);
  CHECK(f.dms.count("complete") == 1);
  CHECK_FALSE(f.engine->status().last_error);
  CHECK(f.logged("poll.failed"));
}

TEST_CASE("engine: a held poll is followed at once, one that only says so is not",
          "[node][engine]") {
  EngineFixture f;
  f.config.long_poll = 30s;
  f.add(succeed);
  Reply held(204, std::string());
  held.headers.set("preference-applied", "wait");
  held.after = 30s;
  f.dms.claims.push_back(held);
  Reply liar = held;
  liar.after = 0s;
  f.dms.claims.push_back(liar);
  f.start();
  f.loop.advance(30s);
  CHECK(f.polls() == 2);
  f.loop.advance(999ms);
  CHECK(f.polls() == 2);
}

TEST_CASE("engine: a canceled lease is passed over without a report", "[node][engine]") {
  EngineFixture f;
  f.add(succeed);
  Json body = envelope(f.loop.clock, "t1");
  body["cancel"] = true;
  f.dms.claims.push_back(Reply(200, body));
  f.start();
  CHECK(f.dms.calls.size() == 1);
  f.loop.advance(31s);
  CHECK(f.polls() >= 2);
  CHECK(f.dms.count("heartbeat") + f.dms.count("fail") == 0);
}

TEST_CASE("engine: a lease that cannot be read is failed, not left to time out", "[node][engine]") {
  EngineFixture f;
  f.add(succeed);
  f.dms.claims.push_back(
      Reply(200, std::string(R"({"lease_id":"L","task":{"id":"t9","capability":7}})")));
  f.start();
  REQUIRE(f.dms.count("fail") == 1);
  const FakeDms::Call call = f.dms.of("fail")[0];
  CHECK(call.path == "/v1/tasks/t9/fail");
  CHECK(call.body["reason"] == "node_setup_failed");
  CHECK(call.body["details"]["stage"] == "start_session");
  CHECK(call.body["lease_id"] == "L");
}

TEST_CASE("engine: a stop lets running tasks finish and leases nothing more", "[node][engine]") {
  EngineFixture f;
  f.config.max_concurrency = 2;
  f.add(for_ten_seconds);
  f.offer("t1");
  f.start();
  f.engine->request_stop();
  f.offer("t2");
  f.loop.advance(9s);
  CHECK_FALSE(f.running->done());
  f.loop.advance(2s);
  REQUIRE(f.running->done());
  CHECK_FALSE(f.running->failed());
  CHECK(f.dms.count("complete") == 1);
}

TEST_CASE("engine: idle it stops at once", "[node][engine]") {
  EngineFixture f;
  f.add(succeed);
  f.start();
  f.engine->request_stop();
  f.loop.poll();
  CHECK(f.running->done());
}

TEST_CASE("engine: a stop takes a long poll back, and waits a little for a short one",
          "[node][engine]") {
  EngineFixture f;
  f.add(succeed);
  Reply slow = Reply(200, envelope(f.loop.clock, "t1"));
  SECTION("long") {
    f.config.long_poll = 30s;
    slow.after = 20s;
    f.dms.claims.push_back(slow);
    f.start();
    f.engine->request_stop();
    f.loop.poll();
    CHECK(f.running->done());
  }
  SECTION("short: a lease that still comes goes back") {
    slow.after = 1s;
    f.dms.claims.push_back(slow);
    f.start();
    f.engine->request_stop();
    f.loop.advance(1s);
    CHECK(f.running->done());
    REQUIRE(f.dms.count("fail") == 1);
    CHECK(f.dms.of("fail")[0].body["reason"] == "node_shutdown");
    CHECK(f.dms.count("heartbeat") == 0);
  }
  SECTION("short: but not for ever") {
    slow.after = 1h;
    f.dms.claims.push_back(slow);
    f.start();
    f.engine->request_stop();
    f.loop.advance(1999ms);
    CHECK_FALSE(f.running->done());
    f.loop.advance(2ms);
    CHECK(f.running->done());
  }
}

TEST_CASE("engine: cancelling the tasks reports each as node_shutdown", "[node][engine]") {
  EngineFixture f;
  f.config.max_concurrency = 2;
  f.add(for_ten_seconds);
  f.offer("t1");
  f.offer("t2");
  f.start();
  f.engine->cancel_tasks();
  f.loop.poll();
  CHECK(f.running->done());
  CHECK(f.dms.count("fail") == 2);
}

TEST_CASE("engine: cancellation ends everything, whatever is under way", "[node][engine]") {
  EngineFixture f;
  f.config.max_concurrency = 2;
  f.add(for_ten_seconds);
  SECTION("idle") {}
  SECTION("a poll") { f.dms.claims.push_back(Reply::hang()); }
  SECTION("a task, and a poll") {
    f.offer("t1");
    f.dms.claims.push_back(Reply::hang());
  }
  f.start();
  f.running->cancel();
  f.loop.poll();
  CHECK(f.running->done());
  CHECK(f.running->failed());
  CHECK(f.engine->busy() == 0);
}

}  // namespace pn::node
