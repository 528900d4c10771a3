#include "base/awaitable.hpp"
#include "base/json.hpp"
#include "base/time.hpp"
#include "http/types.hpp"
#include "market/job_store.hpp"
#include "market/sqlite.hpp"
#include "tests/market/market_fixture.hpp"

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include <soci/soci.h>
#include <soci/sqlite3/soci-sqlite3.h>

// When a task that failed is tried again. The pauses themselves: task_rules_test.cpp.

namespace pn::market::testing {

using namespace std::chrono_literals;

namespace {

constexpr Millis kPlenty{15'000};

/// What a node gets within `time`, asking all the while. The store answers in real time, and
/// virtual time goes on meanwhile: what must come gets kPlenty.
Answer claim_within(MarketFixture& m, const Node& node, Millis time) {
  const SteadyTime end = m.loop.clock.steady_now() + time;
  Answer answer = m.claim(node);
  while (answer.status == 204 && m.loop.clock.steady_now() < end) {
    m.loop.advance(50ms);
    answer = m.claim(node);
  }
  return answer;
}

/// How many instructions of SQLite's machine `work` takes.
int steps_of(soci::session& session, const std::function<void()>& work) {
  int count = 0;
  sqlite_api::sqlite3* const handle =
      static_cast<soci::sqlite3_session_backend*>(session.get_backend())->conn_;
  const auto counting = [](void* counter) {
    ++*static_cast<int*>(counter);
    return 0;
  };
  sqlite_api::sqlite3_progress_handler(handle, 1, counting, &count);
  work();
  sqlite_api::sqlite3_progress_handler(handle, 0, nullptr, nullptr);
  return count;
}

/// Five thousand more of each task that waits for its retry, but for `status, not_before_ms`.
void copy_held(soci::session& session, const std::string& status_and_pause) {
  execute(session,
          "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 5000)"
          " INSERT INTO tasks(id, job_seq, stage_no, class_id, priority, deps_remaining, attempts,"
          " max_attempts, node_id, lease_id, last_outcome, leased_ms, lease_expires_ms,"
          " token_expires_ms, last_heartbeat_ms, cancel_requested_ms, created_ms, updated_ms,"
          " progress, events, status, not_before_ms)"
          " SELECT id || i, job_seq, stage_no, class_id, priority, deps_remaining, attempts,"
          " max_attempts, node_id, lease_id, last_outcome, leased_ms, lease_expires_ms,"
          " token_expires_ms, last_heartbeat_ms, cancel_requested_ms, created_ms, updated_ms,"
          " progress, events, " +
              status_and_pause + " FROM tasks, n WHERE not_before_ms > 0");
}

Answer fail_as(MarketFixture& m, const Node& node, const Json& lease, const std::string& reason) {
  return m.report(node, lease, "fail", Json{{"reason", reason}, {"details", Json::object()}});
}

}  // namespace

TEST_CASE("jobs: a task that failed lets others pass until its pause is over",
          "[market][jobs][mt]") {
  MarketFixture m;
  const std::string grant = m.grant();
  const Node node = m.node(1);
  m.submit(grant, m.job({"a", "b"}));
  const Json first = m.claim(node).json;
  CHECK(first.at("task").at("stage") == "a");
  CHECK(m.fail(node, first).status == 200);
  CHECK(m.claim(node).json.at("task").at("stage") == "b");
  CHECK(claim_within(m, node, 400ms).status == 204);  // of 500 ms at least
  const Answer again = claim_within(m, node, kPlenty);
  REQUIRE(again.status == 200);
  CHECK(again.json.at("task").at("stage") == "a");
  CHECK(again.json.at("task").at("attempts") == 2);
  CHECK(m.fail(node, again.json).status == 200);
  CHECK(claim_within(m, node, 900ms).status == 204);  // of 1 s
  CHECK(claim_within(m, node, kPlenty).status == 200);
}

TEST_CASE("jobs: a node that went away costs its task no pause", "[market][jobs][mt]") {
  MarketFixture m;
  const std::string grant = m.grant();
  const Node node = m.node(1);
  m.submit(grant, m.job());
  const std::string reason = GENERATE("node_shutdown", "node_restarted");
  CHECK(fail_as(m, node, m.claim(node).json, reason).status == 200);
  CHECK(m.claim(node).status == 200);
}

TEST_CASE("jobs: who waits for work is woken when a failed task comes due", "[market][jobs][mt]") {
  MarketFixture m;
  const std::string grant = m.grant();
  const Node node = m.node(1);
  const Node other = m.node(2);
  m.submit(grant, m.job());
  const Json lease = m.claim(node).json;
  http::Headers headers;
  headers.set("Prefer", "wait=20");
  std::optional<Answer> answer;
  const auto waiting = [&]() -> Awaitable<void> {
    answer = co_await m.send(http::Method::get, "/v1/tasks", "Bearer " + other.token, "", headers);
  };
  Started started(m.loop, waiting());
  m.get("/health", "");
  CHECK(m.fail(node, lease).status == 200);
  m.get("/health", "");
  CHECK_FALSE(answer);
  const SteadyTime failed = m.loop.clock.steady_now();
  m.until([&] {
    m.loop.advance(20ms);
    return answer.has_value();
  });
  CHECK(answer->status == 200);
  CHECK(m.loop.clock.steady_now() - failed >= 500ms);
  CHECK(m.loop.clock.steady_now() - failed < kPlenty);
  started.rethrow();
}

TEST_CASE("jobs: a pause outlives the market, and a clock that is set back does not stretch it",
          "[market][jobs][mt]") {
  MarketFixture m;
  const std::string grant = m.grant();
  const Node node = m.node(1);
  m.submit(grant, m.job());
  CHECK(m.fail(node, m.claim(node).json).status == 200);
  m.stop();
  const auto other = open_session(m.settings.data_dir / "market.sqlite", false);
  SECTION("as it was") {}
  SECTION("made when the clock was a day ahead") {
    execute(*other, "UPDATE tasks SET not_before_ms = not_before_ms + 86400000");
  }
  m.start();
  CHECK(claim_within(m, node, kPlenty).status == 200);
}

TEST_CASE("jobs: what a claim costs does not grow with the tasks that wait for their retry",
          "[market][jobs]") {
  MarketFixture m;
  const std::string grant = m.grant();
  const Node node = m.node(1);
  m.submit(grant, m.job({"a", "b"}));
  CHECK(m.fail(node, m.claim(node).json).status == 200);
  m.stop();
  const auto session = open_session(m.settings.data_dir / "market.sqlite", false);
  const auto claiming = [&] {
    JobStore store;
    REQUIRE(store.next_ready(*session, 1));  // prepared now
    return steps_of(*session, [&] { REQUIRE(store.next_ready(*session, 1)->task.stage_no == 1); });
  };
  const int few = claiming();
  copy_held(*session, "status, not_before_ms");
  const int many = claiming();
  CHECK(few > 0);
  CHECK(many <= few + 10);
}

TEST_CASE("jobs: what a look for retries costs does not grow with the tasks that have ended",
          "[market][jobs]") {
  MarketFixture m;
  const std::string grant = m.grant();
  const Node node = m.node(1);
  m.submit(grant, m.job());
  CHECK(m.fail(node, m.claim(node).json).status == 200);
  m.stop();
  const auto session = open_session(m.settings.data_dir / "market.sqlite", false);
  const auto looking = [&] {
    return steps_of(*session, [&] {
      const auto released = JobStore::release_held(*session, m.loop.clock.system_now());
      CHECK(released.ready.empty());
      CHECK(released.next);
    });
  };
  const int few = looking();
  copy_held(*session, "'failed', 0");
  const int many = looking();
  CHECK(few > 0);
  CHECK(many <= few + 10);
}

}  // namespace pn::market::testing
