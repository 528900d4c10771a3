#include "node/outbox.hpp"

#include "base/awaitable.hpp"
#include "base/ids.hpp"
#include "base/json.hpp"
#include "base/time.hpp"
#include "node/engine.hpp"
#include "node/journal.hpp"
#include "node/lease.hpp"
#include "node/node_status.hpp"
#include "node/receipt.hpp"
#include "tests/node/fake_dms.hpp"
#include "tests/node/outbox_fixture.hpp"
#include "tests/support/test_loop.hpp"

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

namespace pn::node {
namespace {

using namespace std::chrono_literals;
using pn::testing::Started;
using testing::FakeDms;
using testing::OutboxFixture;
using testing::Reply;
using testing::SecondLife;
using testing::succeed;

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

TEST_CASE("outbox: a wall clock that is set forward sets nothing aside", "[node][outbox]") {
  OutboxFixture f;
  f.up = false;
  // A machine without a clock of its own: it boots in the past, and NTP sets it.
  f.store(f.lease_of("t1"));
  f.loop.clock.step_system(400h);
  f.loop.advance(1h);
  CHECK(f.outbox.status().pending == 1);
  f.up = true;
  f.loop.advance(1min);
  CHECK(f.outbox.status().pending == 0);
  CHECK(f.outbox.status().set_aside == 0);
  CHECK(f.journal.rows.empty());
  CHECK_FALSE(f.logged("receipt.expired"));
}

TEST_CASE("outbox: a wall clock that is set forward sets aside nothing of a former life either",
          "[node][outbox]") {
  OutboxFixture f;
  f.up = false;
  f.store(f.lease_of("t1"));
  const SecondLife next(f);
  f.loop.advance(1min);
  f.loop.clock.step_system(400h);
  f.loop.advance(1h);
  CHECK(next.outbox.status().pending == 1);
  f.up = true;
  f.loop.advance(1min);
  CHECK(f.journal.rows.empty());
  CHECK_FALSE(f.logged("receipt.expired"));
}

TEST_CASE("outbox: a wall clock that is set back keeps nothing for longer", "[node][outbox]") {
  OutboxFixture f;
  f.up = false;
  f.store(f.lease_of("t1"));
  for (auto& [id, row] : f.journal.rows) row.at -= 166h;
  const SecondLife next(f);
  f.loop.clock.step_system(-400h);
  f.loop.advance(1h);
  CHECK(next.outbox.status().pending == 1);
  f.loop.advance(2h);
  CHECK(next.outbox.status().pending == 0);
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

}  // namespace pn::node
