#include "base/awaitable.hpp"
#include "base/json.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "node/task_run.hpp"
#include "runners/task_context.hpp"
#include "tests/node/node_fixture.hpp"
#include "tests/support/test_loop.hpp"
#include "tests/support/unwound.hpp"

#include <chrono>
#include <string>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

namespace pn::node {

using namespace std::chrono_literals;
using pn::testing::Started;
using pn::testing::Unwound;
using runners::TaskContext;
using testing::NodeFixture;

TEST_CASE("stall: a runner that reports nothing new is ended", "[node][stall]") {
  NodeFixture f;
  f.config.stall_timeout = 60s;
  bool unwound = false;
  Millis told_every{0};
  SECTION("silent") {}
  SECTION("the same again and again") { told_every = 10s; }
  f.add([&](TaskContext& task) -> Awaitable<Result<void>> {
    const Unwound note{unwound};
    CHECK_FALSE(task.workspace().empty());
    task.progress("1");
    while (told_every.count() > 0) {
      co_await task.clock().sleep_for(told_every);
      task.progress("1");
    }
    co_await task.clock().sleep_for(1h);
    co_return Result<void>();
  });
  TaskRun task(f.parts(), f.lease());
  const Started running(f.loop, task.run());
  f.loop.advance(59s);
  CHECK_FALSE(unwound);
  f.loop.advance(2s);
  CHECK(unwound);
  f.poll_until([&] { return running.done(); });
  REQUIRE(f.dms.count("fail") == 1);
  const Json body = f.dms.of("fail")[0].body;
  CHECK(body["reason"] == "stalled");
  CHECK_FALSE(body["details"].contains("retryable"));
  CHECK(f.workspaces() == 1);  // worth a look
}

TEST_CASE("stall: one that goes on is left alone, and so is any without the setting",
          "[node][stall]") {
  NodeFixture f;
  bool events = false;
  SECTION("progress") { f.config.stall_timeout = 60s; }
  SECTION("events") {
    f.config.stall_timeout = 60s;
    events = true;
  }
  SECTION("off") {}
  const bool off = f.config.stall_timeout.count() == 0;
  f.add([&](TaskContext& task) -> Awaitable<Result<void>> {
    if (off) co_await task.clock().sleep_for(10h);
    for (int i = 0; i < 10; ++i) {
      co_await task.clock().sleep_for(50s);
      if (events) {
        task.event("\"still here\"");
      } else {
        task.progress(std::to_string(i));
      }
    }
    co_return Result<void>();
  });
  TaskRun task(f.parts(), f.lease());
  const Started running(f.loop, task.run());
  f.loop.advance(11h);
  CHECK(running.done());
  CHECK(f.dms.count("complete") == 1);
  CHECK(f.dms.count("fail") == 0);
}

}  // namespace pn::node
