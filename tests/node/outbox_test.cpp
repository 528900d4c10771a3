#include "node/outbox.hpp"

#include "base/awaitable.hpp"
#include "base/ids.hpp"
#include "base/json.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "node/engine.hpp"
#include "node/journal.hpp"
#include "node/lease.hpp"
#include "node/node_status.hpp"
#include "node/receipt.hpp"
#include "node/task_run.hpp"
#include "runners/task_context.hpp"
#include "storage/ports.hpp"
#include "tests/node/fake_dms.hpp"
#include "tests/node/memory_journal.hpp"
#include "tests/node/node_fixture.hpp"
#include "tests/support/test_loop.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

namespace pn::node {
namespace {

using namespace std::chrono_literals;
using pn::testing::Started;
using runners::TaskContext;
using testing::envelope;
using testing::FakeDms;
using testing::NodeFixture;
using testing::Reply;
using testing::succeed;

struct OutboxFixture : NodeFixture {
  bool up = true;

  OutboxFixture() {
    dms.on_receipt = [this](const FakeDms::Call&) {
      return up ? Reply(200, Json::object()) : Reply(503, std::string());
    };
  }
  Lease lease_of(const std::string& task, const std::string& lease_id = "L1") {
    Json body = envelope(loop.clock, task);
    body["lease_id"] = lease_id;
    return lease(std::move(body));
  }
  /// An outcome of a lease, stored.
  RowId store(const Lease& lease, Outcome outcome = Outcome::completed) {
    const RowId id = outbox.lease_taken(lease);
    const std::vector<storage::Artifact> none;
    const Failure failure{.reason = "broke", .error = "it broke"};
    Receipt receipt{.task = lease.task.id,
                    .outcome = outcome,
                    .body = outcome == Outcome::completed ? complete_body(lease, none)
                                                          : fail_body(lease, failure, none)};
    const Started storing(loop, outbox.store(id, std::move(receipt), nullptr));
    loop.poll();
    REQUIRE(storing.done());
    return id;
  }
  std::size_t sends(const std::string& task) {
    const std::string path = "/v1/tasks/" + task + "/complete";
    return static_cast<std::size_t>(std::count_if(
        dms.calls.begin(), dms.calls.end(), [&](const auto& call) { return call.path == path; }));
  }
  std::optional<bool> admit(const Lease& lease) {
    std::optional<bool> out;
    const auto asking = [&]() -> Awaitable<void> { out = co_await outbox.admit(lease); };
    const Started started(loop, asking());
    loop.poll();
    for (int i = 0; i < 30 && !started.done(); ++i) loop.advance(1s);
    return out;
  }
};

/// Another life of the same node: what the journal holds is all that it knows.
struct SecondLife {
  explicit SecondLife(NodeFixture& f)
      : outbox(
            OutboxParts{
                f.loop.executor(), f.journal, f.client, f.loop.clock, f.rng, f.metrics, f.logger},
            std::chrono::hours(168)),
        fixture(f) {
    f.sender->cancel();
    f.loop.poll();
    outbox.adopt(f.journal.load());
    running = std::make_unique<Started>(f.loop, outbox.run());
  }
  ~SecondLife() {
    running->cancel();
    fixture.loop.poll();
  }
  Outbox outbox;
  NodeFixture& fixture;
  std::unique_ptr<Started> running;
};

}  // namespace

TEST_CASE("outbox_outage24h: delivered soon after, and few sends meanwhile",
          "[node][outbox_outage24h]") {
  OutboxFixture f;
  int receipts = 1;
  bool polls = false;
  SECTION("one receipt, nobody else talks") {}
  SECTION("two") { receipts = 2; }
  SECTION("a hundred") { receipts = 100; }
  SECTION("one, and a node that polls") { polls = true; }
  std::unique_ptr<Engine> engine;
  std::unique_ptr<Started> polling;
  if (polls) {
    f.add(succeed);
    f.dms.on_claim = [&f](const FakeDms::Call&) { return Reply(f.up ? 204 : 503, std::string()); };
  }
  std::vector<std::string> tasks;
  std::vector<Lease> leases;
  f.up = false;
  if (!polls) {
    for (int i = 0; i < receipts; ++i) leases.push_back(f.lease_of("t" + std::to_string(i)));
  } else {
    Lease lease;
    lease.task.id = TaskId("t0");
    leases.push_back(lease);
    engine = std::make_unique<Engine>(f.parts());
    polling = std::make_unique<Started>(f.loop, engine->run());
  }
  for (const Lease& lease : leases) {
    f.store(lease);
    tasks.push_back(lease.task.id.str());
  }
  f.loop.advance(24h);
  CHECK(f.outbox.status().pending == tasks.size());
  CHECK_FALSE(f.outbox.status().last_error.empty());
  std::map<std::string, std::size_t> then;
  for (const std::string& task : tasks) {
    then[task] = f.sends(task);
    CHECK(then[task] <= 24 * 60);
    if (receipts <= 2) CHECK(then[task] > 24 * 20);
  }
  f.up = true;
  const SteadyTime back = f.loop.clock.steady_now();
  while (f.outbox.status().pending > 0 && f.loop.clock.steady_now() < back + 5min) {
    f.loop.advance(100ms);
  }
  const auto took = std::chrono::duration_cast<Millis>(f.loop.clock.steady_now() - back);
  std::printf(
      "outbox_outage24h: %d receipts%s: %zu sends of the first in 24 h, delivered after %lld ms\n",
      receipts,
      polls ? " and polls" : "",
      then["t0"],
      static_cast<long long>(took.count()));
  CHECK(took <= 30s);
  for (const std::string& task : tasks) CHECK(f.sends(task) == then[task] + 1);
  CHECK(f.journal.rows.empty());
  if (polling) {
    polling->cancel();
    f.poll_until([&] { return polling->done(); });
  }
}

TEST_CASE("outbox: an outcome is in the journal before it is sent, and gone after",
          "[node][outbox]") {
  OutboxFixture f;
  std::optional<RowState> at_send;
  f.dms.on_receipt = [&](const FakeDms::Call&) {
    at_send = f.journal.rows.at(1).state;
    return Reply(200, Json::object());
  };
  f.store(f.lease_of("t1"));
  CHECK(at_send == RowState::pending);
  CHECK(f.journal.rows.empty());
  CHECK(f.outbox.status().pending == 0);
}

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

TEST_CASE("outbox: what the server refuses for good is set aside and shown", "[node][outbox]") {
  const int status = GENERATE(400, 404, 409, 410, 422);
  OutboxFixture f;
  f.dms.on_receipt = [status](const FakeDms::Call&) { return Reply(status, std::string("no")); };
  f.store(f.lease_of("t1"));
  f.loop.advance(1h);
  CHECK(f.dms.count("complete") == 1);
  const OutboxStatus shown = f.outbox.status();
  CHECK(shown.pending == 0);
  CHECK(shown.set_aside == 1);
  REQUIRE(shown.last_set_aside.size() == 1);
  CHECK(shown.last_set_aside[0].task == TaskId("t1"));
  CHECK(shown.last_set_aside[0].answer.find(std::to_string(status)) != std::string::npos);
  REQUIRE(f.journal.rows.size() == 1);
  CHECK(f.journal.rows.begin()->second.state == RowState::set_aside);
  CHECK_FALSE(f.journal.rows.begin()->second.body.empty());

  const SecondLife next(f);
  f.loop.advance(1h);
  CHECK(f.dms.count("complete") == 1);
  CHECK(next.outbox.status().set_aside == 1);
}

TEST_CASE("outbox: what may be taken later is sent again", "[node][outbox]") {
  const int status = GENERATE(401, 408, 425, 429, 500, 502, 503, 504);
  OutboxFixture f;
  int n = 0;
  f.dms.on_receipt = [&](const FakeDms::Call&) {
    return ++n <= 2 ? Reply(status, std::string()) : Reply(200, Json::object());
  };
  f.store(f.lease_of("t1"));
  f.loop.advance(5s);
  CHECK(n >= 3);
  CHECK(f.outbox.status().pending == 0);
  CHECK(f.outbox.status().set_aside == 0);
}

TEST_CASE("outbox: too old is set aside, never deleted", "[node][outbox]") {
  OutboxFixture f;
  f.up = false;
  f.store(f.lease_of("t1"));
  f.loop.advance(167h);
  CHECK(f.outbox.status().pending == 1);
  f.loop.advance(2h);
  CHECK(f.outbox.status().pending == 0);
  CHECK(f.outbox.status().set_aside == 1);
  CHECK(f.journal.rows.size() == 1);
  CHECK(f.logged("receipt.expired"));
}

TEST_CASE("outbox: a node that was off for longer than that sends once more", "[node][outbox]") {
  OutboxFixture f;
  f.up = false;
  f.store(f.lease_of("t1"));
  for (auto& [id, row] : f.journal.rows) row.at -= 200h;
  SECTION("and it is taken") {
    f.up = true;
    const SecondLife next(f);
    f.loop.poll();
    CHECK(f.journal.rows.empty());
    CHECK_FALSE(f.logged("receipt.expired"));
  }
  SECTION("and it is not") {
    const SecondLife next(f);
    f.loop.advance(11min);
    REQUIRE(f.journal.rows.size() == 1);
    CHECK(f.journal.rows.begin()->second.state == RowState::set_aside);
    CHECK(f.logged("receipt.expired"));
  }
}

TEST_CASE("outbox: a journal that is busy does not make a finished task run again",
          "[node][outbox]") {
  OutboxFixture f;
  f.up = false;
  f.store(f.lease_of("t1", "L1"));
  f.loop.advance(1min);  // in the journal alone by now
  f.journal.unreadable = 3;
  CHECK(f.admit(f.lease_of("t1", "L2")) == false);
  CHECK(f.journal.unreadable == 0);
}

TEST_CASE("outbox: a new life sends what the last one could not, under the same lease",
          "[node][outbox]") {
  OutboxFixture f;
  f.up = false;
  f.store(f.lease_of("t1", "L7"));
  f.outbox.lease_taken(f.lease_of("t2", "L8"));  // no outcome when it died
  f.up = true;
  f.dms.calls.clear();
  SecondLife next(f);
  const Started replayed(f.loop, next.outbox.replayed());
  f.loop.poll();
  CHECK(replayed.done());
  REQUIRE(f.dms.count("complete") == 1);
  CHECK(f.dms.of("complete")[0].body["lease_id"] == "L7");
  REQUIRE(f.dms.count("fail") == 1);
  const FakeDms::Call died = f.dms.of("fail")[0];
  CHECK(died.path == "/v1/tasks/t2/fail");
  CHECK(died.body["lease_id"] == "L8");
  CHECK(died.body["reason"] == "node_restarted");
  CHECK_FALSE(died.body["details"].contains("retryable"));
  CHECK(f.journal.rows.empty());
}

TEST_CASE("outbox: the first poll waits for the replay, but not for ever", "[node][outbox]") {
  OutboxFixture f;
  f.up = false;
  f.store(f.lease_of("t1"));
  f.dms.on_receipt = [](const FakeDms::Call&) { return Reply::hang(); };
  SecondLife next(f);
  const Started replayed(f.loop, next.outbox.replayed());
  f.loop.advance(4s);
  CHECK_FALSE(replayed.done());
  f.loop.advance(2s);
  CHECK(replayed.done());
}

TEST_CASE("outbox: a new lease of a completed task reports it, and runs nothing",
          "[node][outbox]") {
  OutboxFixture f;
  f.add(succeed);
  f.up = false;
  f.store(f.lease_of("t1", "L1"));
  f.loop.advance(1min);
  f.up = true;
  f.dms.calls.clear();
  CHECK(f.admit(f.lease_of("t1", "L2")) == false);
  f.loop.advance(1s);
  const auto sent = f.dms.of("complete");
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].body["lease_id"] == "L2");
  CHECK(sent[0].body["meta"]["job"]["task_id"] == "t1");
  CHECK(f.journal.rows.empty());
}

TEST_CASE("outbox: a new lease of a failed task supersedes the failure", "[node][outbox]") {
  OutboxFixture f;
  f.up = false;
  f.store(f.lease_of("t1", "L1"), Outcome::failed);
  f.loop.advance(1min);
  f.up = true;
  f.dms.calls.clear();
  CHECK(f.admit(f.lease_of("t1", "L2")) == true);
  f.loop.advance(1h);
  CHECK(f.dms.count("fail") == 0);
  CHECK(f.journal.rows.empty());
}

TEST_CASE("outbox: a new lease waits for a send that is under way", "[node][outbox]") {
  OutboxFixture f;
  Reply slow(200, Json::object());
  slow.after = 3s;
  f.dms.on_receipt = [&slow](const FakeDms::Call&) { return slow; };
  f.store(f.lease_of("t1", "L1"), Outcome::failed);
  const Lease next = f.lease_of("t1", "L2");
  std::optional<bool> needed;
  const auto asking = [&]() -> Awaitable<void> { needed = co_await f.outbox.admit(next); };
  const Started started(f.loop, asking());
  f.loop.advance(2s);
  CHECK_FALSE(needed);
  f.loop.advance(2s);
  CHECK(needed == true);
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
