// What the outbox is to the tasks and the slots of a running node.

#include "base/awaitable.hpp"
#include "base/ids.hpp"
#include "base/json.hpp"
#include "base/result.hpp"
#include "node/engine.hpp"
#include "node/outbox.hpp"
#include "node/task_run.hpp"
#include "runners/task_context.hpp"
#include "tests/node/fake_dms.hpp"
#include "tests/node/outbox_fixture.hpp"
#include "tests/support/test_loop.hpp"

#include <chrono>
#include <cstddef>
#include <string>

#include <catch2/catch.hpp>

namespace pn::node {
namespace {

using namespace std::chrono_literals;
using pn::testing::Started;
using runners::TaskContext;
using testing::envelope;
using testing::FakeDms;
using testing::OutboxFixture;
using testing::Reply;
using testing::succeed;

}  // namespace

TEST_CASE("outbox: three refusals of a moment cost a task nothing", "[node][outbox]") {
  OutboxFixture f;
  f.add(succeed);
  int n = 0;
  f.dms.on_receipt = [&](const FakeDms::Call& call) {
    return call.path.ends_with("/complete") && ++n <= 3 ? Reply(503, std::string())
                                                        : Reply(200, Json::object());
  };
  TaskRun task(f.parts(), f.lease_of("t1"));
  const Started running(f.loop, task.run());
  f.loop.advance(5s);
  CHECK(running.done());
  CHECK(n == 4);
  CHECK(task.past().outcome == "completed");
}

TEST_CASE("outbox: a job canceled while its task reports hears nothing more", "[node][outbox]") {
  OutboxFixture f;
  f.add(succeed);
  f.up = false;
  int beats = 0;
  f.dms.on_heartbeat = [&](const Json&) {
    return ++beats == 1 ? f.renewed() : f.renewed(Json{{"cancel", true}});
  };
  TaskRun task(f.parts(), f.lease_of("t1"));
  const Started running(f.loop, task.run());
  f.loop.advance(12s);
  CHECK(running.done());
  const std::size_t sent = f.dms.count("complete");
  CHECK(task.past().outcome == "canceled");
  f.up = true;
  f.loop.advance(1h);
  CHECK(f.dms.count("complete") == sent);
  CHECK(f.journal.rows.empty());
}

TEST_CASE("outbox: a lease fenced while its task reports leaves the receipt to the outbox",
          "[node][outbox]") {
  OutboxFixture f;
  f.add(succeed);
  f.up = false;
  int beats = 0;
  f.dms.on_heartbeat = [&](const Json&) {
    return ++beats == 1 ? f.renewed() : Reply(503, std::string());
  };
  TaskRun task(f.parts(), f.lease_of("t1"));
  const Started running(f.loop, task.run());
  f.loop.advance(30s);
  CHECK(running.done());
  CHECK(f.outbox.status().pending == 1);
  const std::size_t beats_then = f.dms.count("heartbeat");
  f.up = true;
  f.loop.advance(1min);
  CHECK(f.outbox.status().pending == 0);
  CHECK(f.dms.count("heartbeat") == beats_then);
}

TEST_CASE("outbox: a task that only reports holds no slot", "[node][outbox]") {
  OutboxFixture f;
  f.add(succeed);
  f.up = false;
  for (int i = 0; i < 5; ++i) {
    f.dms.claims.push_back(Reply(200, envelope(f.loop.clock, "t" + std::to_string(i))));
  }
  Engine engine(f.parts());
  Started running(f.loop, engine.run());
  f.loop.advance(10s);
  CHECK(f.dms.claims.empty());  // all were leased, one after the other, by the one slot
  CHECK(engine.busy() == 0);
  CHECK(engine.slots().size() == 5);
  CHECK(engine.slots()[0].phase == "reporting");
  f.up = true;
  f.loop.advance(30s);
  CHECK(f.dms.count("complete") >= 5);
  CHECK(engine.slots().empty());
  running.cancel();
  f.poll_until([&] { return running.done(); });
}

TEST_CASE("outbox: a node that drains does not wait long for a server that is away",
          "[node][outbox]") {
  OutboxFixture f;
  f.add(succeed);
  f.up = false;
  f.dms.claims.push_back(Reply(200, envelope(f.loop.clock, "t1", 3600s)));
  Engine engine(f.parts());
  const Started running(f.loop, engine.run());
  f.loop.advance(5s);
  engine.request_stop();
  f.loop.advance(29s);
  CHECK_FALSE(running.done());
  f.loop.advance(2s);
  CHECK(running.done());
  CHECK(f.outbox.status().pending == 1);
  CHECK(f.journal.rows.size() == 1);
}

TEST_CASE("outbox: those who wait for their turn hear that the server is away", "[node][outbox]") {
  OutboxFixture f;
  f.config.max_concurrency = 20;
  f.add(succeed);
  f.up = false;
  for (int i = 0; i < 40; ++i) {
    f.dms.claims.push_back(Reply(200, envelope(f.loop.clock, "t" + std::to_string(i))));
  }
  Engine engine(f.parts());
  Started running(f.loop, engine.run());
  f.loop.advance(2s);
  CHECK(engine.busy() == 0);
  CHECK(f.dms.claims.empty());
  running.cancel();
  f.poll_until([&] { return running.done(); });
}

TEST_CASE("disk_guard: a disk that is full in a task costs one attempt, and no outcome",
          "[node][disk_guard]") {
  OutboxFixture f;
  f.add([](TaskContext&) -> Awaitable<Result<void>> {
    co_return Error(ErrorKind::full, "disk_full", "no space left for the input");
  });
  f.journal.failure = Error(ErrorKind::full, "state_full", "no space");
  TaskRun task(f.parts(), f.lease_of("t1"));
  const Started running(f.loop, task.run());
  f.poll_until([&] { return running.done(); });
  REQUIRE(f.dms.count("fail") == 1);
  CHECK(f.dms.of("fail")[0].body["reason"] == "disk_full");
  CHECK_FALSE(f.dms.of("fail")[0].body["details"].contains("retryable"));
  CHECK_FALSE(f.outbox.status().durable);
}

}  // namespace pn::node
