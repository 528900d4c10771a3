#include "node/task_run.hpp"

#include "base/awaitable.hpp"
#include "base/file.hpp"
#include "base/json.hpp"
#include "base/result.hpp"
#include "base/secret.hpp"
#include "base/time.hpp"
#include "node/journal.hpp"
#include "node/receipt.hpp"
#include "runners/task_context.hpp"
#include "storage/ports.hpp"
#include "tests/node/fake_dms.hpp"
#include "tests/node/node_fixture.hpp"
#include "tests/support/test_loop.hpp"
#include "tests/support/unwound.hpp"

#include <chrono>
#include <cstddef>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

namespace pn::node {
namespace {

using namespace std::chrono_literals;
using pn::testing::Started;
using pn::testing::Unwound;
using runners::TaskContext;
using testing::envelope;
using testing::FakeDms;
using testing::NodeFixture;
using testing::Reply;
using testing::sleep_long;
using testing::succeed;

/// A task run of the fixture, stopped before the fixture goes.
struct Running {
  explicit Running(NodeFixture& fixture, Json body = Json())
      : f(fixture), task(fixture.parts(), fixture.lease(std::move(body))), op(f.loop, task.run()) {}
  ~Running() {
    op.cancel();
    f.poll_until([this] { return op.done(); });
  }
  NodeFixture& f;
  TaskRun task;
  Started op;
};

}  // namespace

TEST_CASE("task: with nothing to tell it costs one heartbeat and one receipt", "[node][task]") {
  NodeFixture f;
  f.add(succeed);
  Running run(f);
  f.loop.poll();
  REQUIRE(run.op.done());
  CHECK_FALSE(run.op.failed());
  REQUIRE(f.dms.calls.size() == 2);
  CHECK(f.dms.calls[0].path == "/v1/tasks/t1/heartbeat");
  CHECK(f.dms.calls[1].path == "/v1/tasks/t1/complete");
  CHECK(f.dms.calls[1].body["output_cids"] == Json::array());
  CHECK(f.dms.calls[1].body["meta"]["job"]["domain_id"] == "d1");
  CHECK(f.workspaces() == 0);
}

TEST_CASE("task: the runner starts after the first accepted heartbeat", "[node][task]") {
  NodeFixture f;
  int heartbeats_then = -1;
  f.add([&](TaskContext&) -> Awaitable<Result<void>> {
    heartbeats_then = static_cast<int>(f.dms.count("heartbeat"));
    co_return Result<void>();
  });
  int n = 0;
  f.dms.on_heartbeat = [&](const Json&) {
    return ++n < 3 ? Reply(503, std::string()) : f.renewed();
  };
  Running run(f);
  f.loop.advance(5s);
  CHECK(heartbeats_then == 3);
  CHECK(run.op.done());
}

TEST_CASE("task: artifacts and the last progress are reported", "[node][task]") {
  NodeFixture f;
  f.add([](TaskContext& task) -> Awaitable<Result<void>> {
    task.progress(R"({"done":1})");
    task.event(R"("made")");
    const storage::PutOptions options;
    const auto put = co_await task.outputs().put_bytes("a", "x", options);
    co_return Result<void>();
  });
  Running run(f);
  f.poll_until([&] { return run.op.done(); });
  REQUIRE(f.dms.calls.size() == 3);
  CHECK(f.dms.calls[1].body["progress"]["done"] == 1);
  CHECK(f.dms.calls[1].body["events"] == Json::array({"made"}));
  CHECK(f.dms.calls[2].body["output_cids"] == Json::array({"id-a"}));
}

TEST_CASE("task: a runner's failure sends fail, with the artifacts so far", "[node][task]") {
  const auto kind = GENERATE(ErrorKind::rejected, ErrorKind::corrupt, ErrorKind::internal);
  NodeFixture f;
  f.add([kind](TaskContext& task) -> Awaitable<Result<void>> {
    CHECK_FALSE(task.workspace().empty());
    const storage::PutOptions options;
    const auto put = co_await task.outputs().put_bytes("log", "x", options);
    co_return Error(kind, "too_few_photos", "only 2 photos");
  });
  Running run(f);
  f.poll_until([&] { return run.op.done(); });
  const auto fails = f.dms.of("fail");
  REQUIRE(fails.size() == 1);
  CHECK(fails[0].body["reason"] == "too_few_photos");
  CHECK(fails[0].body["details"]["error"] == "only 2 photos");
  CHECK(fails[0].body["details"]["artifacts"][0]["id"] == "id-log");
  CHECK(fails[0].body["details"]["job"]["task_id"] == "t1");
  if (kind == ErrorKind::internal) {
    CHECK_FALSE(fails[0].body["details"].contains("retryable"));
  } else {
    CHECK(fails[0].body["details"]["retryable"] == false);
  }
  CHECK(f.workspaces() == 1);
  CHECK(f.logged("workspace.kept"));
  CHECK(f.logged(f.dir.path.string() + "/failed-t1-"));
}

TEST_CASE("task: an exception of the runner is a failure", "[node][task]") {
  NodeFixture f;
  SECTION("std") {
    f.add([](TaskContext&) -> Awaitable<Result<void>> {
      throw std::runtime_error("boom");
      co_return Result<void>();
    });
  }
  SECTION("anything") {
    f.add([](TaskContext&) -> Awaitable<Result<void>> {
      throw 7;
      co_return Result<void>();
    });
  }
  SECTION("before its first suspension, outside a coroutine") {
    f.add([](TaskContext&) -> Awaitable<Result<void>> { throw std::logic_error("boom"); });
  }
  SECTION("an abort that nobody asked for") {
    f.add([](TaskContext&) -> Awaitable<Result<void>> {
      throw boost::system::system_error(asio::error::operation_aborted);
      co_return Result<void>();
    });
  }
  Running run(f);
  f.loop.poll();
  REQUIRE(run.op.done());
  CHECK_FALSE(run.op.failed());
  REQUIRE(f.dms.count("fail") == 1);
  CHECK(f.dms.of("fail")[0].body["reason"] == "runner_crashed");
}

TEST_CASE("task: a workspace that cannot be made fails the task by its cause", "[node][task]") {
  NodeFixture f;
  f.config.work_dir = "/no/such/folder";
  f.add([](TaskContext& task) -> Awaitable<Result<void>> {
    static_cast<void>(task.workspace());
    co_return Result<void>();
  });
  Running run(f);
  f.loop.poll();
  REQUIRE(f.dms.count("fail") == 1);
  CHECK(f.dms.of("fail")[0].body["reason"] == "file_missing");
}

TEST_CASE("task: set-up failures name their stage", "[node][task]") {
  NodeFixture f;
  std::string stage;
  std::size_t heartbeats = 0;
  SECTION("start_session") {
    stage = "start_session";  // no such capability
  }
  SECTION("initial_heartbeat") {
    f.add(succeed);
    f.dms.on_heartbeat = [](const Json&) { return Reply(422, std::string()); };
    stage = "initial_heartbeat";
    heartbeats = 1;
  }
  SECTION("build_ports") {
    f.add(succeed);
    f.ports.failure = Error(ErrorKind::rejected, "domain_server_missing", "no domain server");
    stage = "build_ports";
    heartbeats = 1;
  }
  Running run(f);
  f.loop.poll();
  REQUIRE(run.op.done());
  CHECK(f.dms.count("heartbeat") == heartbeats);
  REQUIRE(f.dms.count("fail") == 1);
  const Json body = f.dms.of("fail")[0].body;
  CHECK(body["reason"] == "node_setup_failed");
  CHECK(body["details"]["stage"] == stage);
  CHECK_FALSE(body["details"]["error"].get<std::string>().empty());
}

TEST_CASE("task: lease_id goes with the receipt when one was given", "[node][task]") {
  NodeFixture f;
  f.add(succeed);
  Json body = envelope(f.loop.clock, "t1");
  body["lease_id"] = "L9";
  Running run(f, body);
  f.loop.poll();
  REQUIRE(f.dms.count("complete") == 1);
  CHECK(f.dms.of("complete")[0].body["lease_id"] == "L9");
}

TEST_CASE("task: cancel stops the runner and sends no receipt", "[node][task]") {
  NodeFixture f;
  bool unwound = false;
  f.add([&](TaskContext& task) -> Awaitable<Result<void>> {
    const Unwound note{unwound};
    CHECK_FALSE(task.workspace().empty());
    co_await task.clock().sleep_for(1h);
    co_return Result<void>();
  });
  int n = 0;
  f.dms.on_heartbeat = [&](const Json&) {
    return ++n == 1 ? f.renewed() : Reply(200, Json{{"cancel", true}});
  };
  Running run(f);
  f.loop.advance(11s);
  f.poll_until([&] { return run.op.done(); });
  CHECK(run.op.done());
  CHECK_FALSE(run.op.failed());
  CHECK(unwound);
  CHECK(f.dms.count("complete") + f.dms.count("fail") == 0);
  CHECK(f.workspaces() == 0);
}

TEST_CASE("task: a lost or fenced lease stops the runner and sends no receipt", "[node][task]") {
  NodeFixture f;
  bool started = false;
  f.add([&](TaskContext& task) -> Awaitable<Result<void>> {
    started = true;
    CHECK_FALSE(task.workspace().empty());
    co_await task.clock().sleep_for(1h);
    co_return Result<void>();
  });
  const int status = GENERATE(409, 503);
  int n = 0;
  f.dms.on_heartbeat = [&](const Json&) {
    return ++n == 1 ? f.renewed() : Reply(status, std::string());
  };
  Running run(f);
  f.loop.advance(26s);
  f.poll_until([&] { return run.op.done(); });
  CHECK(run.op.done());
  CHECK(started);
  CHECK(f.dms.count("complete") + f.dms.count("fail") == 0);
  CHECK(f.workspaces() == 1);  // worth a look
}

TEST_CASE("outbox_outage24h: an outcome is on disk before the last beats are tried",
          "[node][task][outbox_outage24h]") {
  NodeFixture f;
  bool away = false;
  f.dms.on_heartbeat = [&](const Json&) { return away ? Reply::hang() : f.renewed(); };
  f.dms.on_receipt = [&](const FakeDms::Call&) {
    return away ? Reply(503, std::string()) : Reply(200, Json::object());
  };
  f.add([&](TaskContext& task) -> Awaitable<Result<void>> {
    away = true;
    task.progress(R"({"pct":100})");
    co_return Result<void>();
  });
  Running running(f);
  f.poll_until([&] { return running.task.status().phase == "flushing"; });
  const auto stored = f.journal.rows.begin();
  REQUIRE(stored != f.journal.rows.end());
  CHECK(stored->second.state == RowState::pending);
  CHECK(stored->second.outcome == Outcome::completed);
  // The lease ends before the server is back: what was done within it is told all the same.
  for (int i = 0; i < 60; ++i) f.loop.advance(1s);
  CHECK(running.op.done());
  CHECK(f.journal.rows.size() == 1);
  away = false;
  for (int i = 0; i < 60 && !f.journal.rows.empty(); ++i) f.loop.advance(1s);
  CHECK(f.journal.rows.empty());
  CHECK_FALSE(f.dms.of("complete").empty());
}

TEST_CASE("task: a lease that is gone at the first heartbeat is dropped", "[node][task]") {
  NodeFixture f;
  bool started = false;
  f.add([&](TaskContext&) -> Awaitable<Result<void>> {
    started = true;
    co_return Result<void>();
  });
  f.dms.on_heartbeat = [](const Json&) { return Reply(409, std::string()); };
  Running run(f);
  f.loop.poll();
  CHECK(run.op.done());
  CHECK_FALSE(started);
  CHECK(f.dms.calls.size() == 1);
}

TEST_CASE("task: a rotated token is what the next upload takes", "[node][task]") {
  NodeFixture f;
  f.add([](TaskContext& task) -> Awaitable<Result<void>> {
    const storage::PutOptions options;
    const auto one = co_await task.outputs().put_bytes("one", "x", options);
    co_await task.clock().sleep_for(11s);
    const auto two = co_await task.outputs().put_bytes("two", "x", options);
    co_return Result<void>();
  });
  int n = 0;
  f.dms.on_heartbeat = [&](const Json&) {
    return ++n == 1 ? f.renewed() : f.renewed(Json{{"access_token", "task-token-2"}});
  };
  Running run(f);
  f.loop.advance(12s);
  REQUIRE(run.op.done());
  CHECK(f.ports.tokens_seen == std::vector<std::string>{"task-token-1", "task-token-2"});
}

TEST_CASE("task: a refused task token is renewed by a heartbeat, at once", "[node][task]") {
  NodeFixture f;
  std::optional<bool> newer;
  SteadyTime renewed_at{};
  f.add([&](TaskContext& task) -> Awaitable<Result<void>> {
    const Secret<std::string> used = f.ports.tokens->current();
    newer = co_await f.ports.tokens->wait_newer(used);
    renewed_at = task.clock().steady_now();
    co_return Result<void>();
  });
  const bool rotates = GENERATE(true, false);
  int n = 0;
  f.dms.on_heartbeat = [&](const Json&) {
    return ++n == 1 || !rotates ? f.renewed() : f.renewed(Json{{"access_token", "task-token-2"}});
  };
  Running run(f);
  f.loop.poll();
  REQUIRE(newer);
  CHECK(*newer == rotates);
  CHECK(renewed_at == f.loop.clock.steady_now());
  CHECK(f.dms.count("heartbeat") == 2);
}

TEST_CASE("task: what a runner left open of its outputs is closed, however it ends",
          "[node][task]") {
  NodeFixture f;
  const std::string how = GENERATE("success", "a throw", "a cancellation");
  f.add([&](TaskContext& task) -> Awaitable<Result<void>> {
    CHECK(f.ports.closed == 0);
    if (how == "a throw") throw std::runtime_error("x");
    if (how == "a cancellation") co_await task.clock().sleep_for(std::chrono::hours(1));
    co_return Result<void>();
  });
  Running running(f);
  f.loop.poll();
  if (how == "a cancellation") running.task.shutdown();
  f.poll_until([&] { return running.op.done(); });
  CHECK(f.ports.closed == 1);
}

TEST_CASE("task: shutdown ends the runner and reports node_shutdown", "[node][task]") {
  NodeFixture f;
  f.add(sleep_long);
  Running run(f);
  f.loop.poll();
  run.task.shutdown();
  f.loop.poll();
  REQUIRE(run.op.done());
  REQUIRE(f.dms.count("fail") == 1);
  CHECK(f.dms.of("fail")[0].body["reason"] == "node_shutdown");
  CHECK_FALSE(f.dms.of("fail")[0].body["details"].contains("retryable"));
}

TEST_CASE("task: shutdown during set-up reports node_shutdown too", "[node][task]") {
  NodeFixture f;
  f.add(succeed);
  f.dms.on_heartbeat = [](const Json&) { return Reply(503, std::string()); };
  Running run(f);
  f.loop.poll();
  run.task.shutdown();
  f.loop.poll();
  REQUIRE(run.op.done());
  REQUIRE(f.dms.count("fail") == 1);
  CHECK(f.dms.of("fail")[0].body["reason"] == "node_shutdown");
}

TEST_CASE(
    "task: a receipt is sent until it is taken, the lease kept meanwhile, the slot given back",
    "[node][task]") {
  NodeFixture f;
  f.add(succeed);
  bool up = false;
  f.dms.on_receipt = [&](const FakeDms::Call&) {
    return up ? Reply(200, std::string()) : Reply(503, std::string());
  };
  Running run(f);
  f.loop.advance(60s);
  CHECK_FALSE(run.op.done());
  CHECK(run.task.lingers());
  CHECK(f.dms.count("complete") > 3);
  CHECK(f.dms.count("heartbeat") > 5);
  up = true;
  f.loop.advance(36s);
  CHECK(run.op.done());
}

TEST_CASE("task: a refused receipt is not repeated", "[node][task]") {
  NodeFixture f;
  f.add(succeed);
  f.dms.on_receipt = [](const FakeDms::Call&) { return Reply(409, std::string()); };
  Running run(f);
  f.loop.advance(1s);
  CHECK(run.op.done());
  CHECK(f.dms.count("complete") == 1);
  CHECK(f.logged("receipt.refused"));
}

TEST_CASE("task: a success that was reached removes the workspace", "[node][task]") {
  NodeFixture f;
  f.add([](TaskContext& task) -> Awaitable<Result<void>> {
    const Result<void> written = write_file(task.workspace() / "big", "x");
    co_return written;
  });
  Running run(f);
  f.poll_until([&] { return run.op.done(); });
  CHECK(run.op.done());
  CHECK(f.workspaces() == 0);
}

TEST_CASE("task: reports that are no JSON are dropped", "[node][task]") {
  NodeFixture f;
  f.add([](TaskContext& task) -> Awaitable<Result<void>> {
    task.progress("{broken");
    task.event("");
    task.progress("\"" + std::string(100'000, 'x') + "\"");
    co_return Result<void>();
  });
  Running run(f);
  f.poll_until([&] { return run.op.done(); });
  CHECK(f.dms.count("heartbeat") == 1);
  CHECK(f.logged("task.report_dropped"));
}

TEST_CASE("task: cancelling the run ends the runner and sends nothing", "[node][task]") {
  NodeFixture f;
  f.add(sleep_long);
  SECTION("while it runs") {}
  SECTION("during set-up") {
    f.dms.on_heartbeat = [](const Json&) { return Reply::hang(); };
  }
  Running run(f);
  f.loop.poll();
  run.op.cancel();
  f.loop.poll();
  CHECK(run.op.done());
  CHECK(run.op.failed());
  CHECK(f.dms.count("complete") + f.dms.count("fail") == 0);
}

}  // namespace pn::node
