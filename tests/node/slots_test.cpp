#include "base/awaitable.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "node/engine.hpp"
#include "node/node_status.hpp"
#include "runners/task_context.hpp"
#include "tests/node/engine_fixture.hpp"
#include "tests/node/fake_dms.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

namespace pn::node {
namespace {

using namespace std::chrono_literals;
using runners::TaskContext;
using testing::EngineFixture;
using testing::envelope;
using testing::FakeDms;
using testing::Reply;

const std::string kA = "/a/v1";
const std::string kB = "/b/v1";
const std::string kC = "/c/v1";

/// Eight slots; at most two of a, three of b. The server favours a, then b.
struct SlotsFixture : EngineFixture {
  std::map<std::string, int> waiting;  ///< tasks at the server
  std::map<std::string, std::size_t> now;
  std::map<std::string, std::size_t> most;
  std::map<std::string, std::size_t> leased;
  std::size_t busiest = 0;
  bool ignores_filter = false;
  bool holds = false;
  int given = 0;

  SlotsFixture() {
    config.max_concurrency = 8;
    config.capability_concurrency = {{Capability(kA), 2}, {Capability(kB), 3}};
    for (const std::string& name : {kA, kB, kC}) {
      add(
          [this](TaskContext& task) -> Awaitable<Result<void>> {
            const std::string capability = task.info().capability.str();
            most[capability] = std::max(most[capability], ++now[capability]);
            busiest = std::max(busiest, engine->busy());
            co_await task.clock().sleep_for(10s);
            --now[capability];
            co_return Result<void>();
          },
          name);
    }
    dms.on_claim = [this](const FakeDms::Call& call) { return claim(call); };
  }

  Reply claim(const FakeDms::Call& call) {
    for (const std::string& name : {kA, kB, kC}) {
      const bool wanted = call.query.empty() || ignores_filter || call.query == query(name);
      if (!wanted || waiting[name] == 0) continue;
      --waiting[name];
      ++leased[name];
      return Reply(200, envelope(loop.clock, "t" + std::to_string(++given), 30s, name));
    }
    Reply nothing(204, std::string());
    const auto prefer = call.headers.find("prefer");
    if (holds && prefer) {
      nothing.headers.set("preference-applied", "wait");
      nothing.after = std::chrono::seconds(std::stoi(std::string(prefer->substr(5))));
    }
    return nothing;
  }
  static std::string query(const std::string& name) {
    return http::Url::parse("http://x/").value().with_query("capability", name).query();
  }
  [[nodiscard]] std::set<std::string> asked_in_last(std::size_t count) const {
    std::set<std::string> out;
    const std::vector<FakeDms::Call> claims = dms.of("tasks");
    for (std::size_t i = claims.size() - std::min(count, claims.size()); i < claims.size(); ++i) {
      out.insert(claims[i].query);
    }
    return out;
  }
};

}  // namespace

TEST_CASE("slots: eight slots, three capabilities, caps held, all slots used", "[node][slots]") {
  SlotsFixture f;
  f.waiting = {{kA, 1000}, {kB, 1000}, {kC, 1000}};
  f.start();
  CHECK(f.engine->busy() == 8);
  f.loop.advance(100s);
  CHECK(f.engine->busy() == 8);
  CHECK(f.busiest == 8);
  CHECK(f.most[kA] == 2);
  CHECK(f.most[kB] == 3);
  CHECK(f.most[kC] >= 3);
  // Every ten seconds eight tasks, and none of the three waits for another.
  CHECK(f.leased[kA] >= 20);
  CHECK(f.leased[kB] >= 30);
  CHECK(f.leased[kC] >= 30);
  CHECK(f.dms.count("fail") == 0);
}

TEST_CASE("slots: with one at its cap each of the others is asked for within two rounds",
          "[node][slots]") {
  SlotsFixture f;
  f.config.long_poll = 30s;
  f.holds = true;
  f.waiting = {{kA, 2}};
  f.start();
  REQUIRE(f.engine->busy() == 2);
  f.loop.advance(4s);
  CHECK(f.asked_in_last(2) == std::set<std::string>{f.query(kB), f.query(kC)});
  // Work for c comes while a request for b is held: it waits for that one alone.
  f.waiting[kC] = 1;
  f.loop.advance(4s);
  CHECK(f.leased[kC] == 1);
  f.waiting[kB] = 1;
  f.loop.advance(4s);
  CHECK(f.leased[kB] == 1);
}

TEST_CASE("slots: with nothing at its cap one request asks for all, and is held", "[node][slots]") {
  SlotsFixture f;
  f.config.long_poll = 30s;
  f.holds = true;
  f.start();
  f.loop.advance(100s);
  CHECK(f.polls() == 4);
  CHECK(f.asked_in_last(4) == std::set<std::string>{""});
}

TEST_CASE("slots: a round without work is followed by a pause, not by another", "[node][slots]") {
  SlotsFixture f;
  f.waiting = {{kA, 2}};
  f.config.poll_backoff_min = 5s;
  f.config.poll_backoff_max = 5s;
  f.start();
  CHECK(f.polls() == 4);  // two leases, b, c
  f.loop.advance(4999ms);
  CHECK(f.polls() == 4);
  f.loop.advance(1ms);
  CHECK(f.polls() == 6);
}

TEST_CASE("slots: a server that ignores the filter costs caps, but no work", "[node][slots]") {
  SlotsFixture f;
  f.ignores_filter = true;
  f.waiting = {{kA, 20}, {kB, 20}, {kC, 20}};
  f.start();
  CHECK(f.engine->busy() == 8);
  f.loop.advance(300s);
  CHECK(f.busiest == 8);
  CHECK(f.leased == std::map<std::string, std::size_t>{{kA, 20}, {kB, 20}, {kC, 20}});
  CHECK(f.dms.count("complete") == 60);
  CHECK(f.dms.count("fail") == 0);
}

TEST_CASE("slots: all at their caps is a reason, and no poll", "[node][slots]") {
  SlotsFixture f;
  f.config.capability_concurrency[Capability(kC)] = 1;
  f.waiting = {{kA, 9}, {kB, 9}, {kC, 9}};
  f.start();
  CHECK(f.engine->busy() == 6);
  const std::size_t polls = f.polls();
  f.loop.advance(9s);
  CHECK(f.polls() == polls);
  REQUIRE(f.engine->reasons().size() == 3);
  CHECK(f.engine->reasons()[0].find("CAPABILITY_CONCURRENCY") != std::string::npos);
  f.loop.advance(2s);
  CHECK(f.leased[kC] == 2);
}

TEST_CASE("breaker: a capability that fails is leased once a window, the others are unharmed",
          "[node][breaker]") {
  SlotsFixture f;
  f.config.max_concurrency = 2;
  f.config.capability_concurrency.clear();
  std::vector<SteadyTime> failed_at;
  f.add(
      [&](TaskContext& task) -> Awaitable<Result<void>> {
        failed_at.push_back(task.clock().steady_now());
        co_await task.clock().sleep_for(100ms);
        co_return Error(ErrorKind::internal, "gpu_gone", "there is no GPU");
      },
      kA);
  f.waiting = {{kA, 1000}, {kC, 1000}};
  f.start();
  f.loop.advance(30s);
  const std::size_t until_open = failed_at.size();
  CHECK(until_open >= 5);
  CHECK(until_open <= 7);  // two slots: one may have been under way
  CHECK(f.logged("breaker.opened"));
  bool named = false;
  for (const CapabilityStatus& capability : f.engine->capabilities()) {
    if (capability.capability.str() == kA) named = !capability.paused.empty();
  }
  CHECK(named);
  const std::size_t others = f.leased[kC];
  f.loop.advance(600s);
  // Windows of 60 s, 120 s, 240 s, ...
  CHECK(failed_at.size() - until_open <= 4);
  CHECK(failed_at.size() - until_open >= 3);
  CHECK(f.leased[kC] - others >= 115);  // both slots, ten seconds each
  CHECK(f.metrics.text().find("posenode_breaker") != std::string::npos);
}

TEST_CASE("breaker: failures are quick also when their receipts are taken late",
          "[node][breaker]") {
  testing::EngineFixture f;
  f.config.max_concurrency = 1;
  f.add([](TaskContext&) -> Awaitable<Result<void>> {
    co_return Error(ErrorKind::internal, "gpu_gone", "there is no GPU");
  });
  f.dms.on_receipt = [](const testing::FakeDms::Call&) { return Reply(503, std::string()); };
  for (int i = 0; i < 20; ++i) f.offer("t" + std::to_string(i));
  f.start();
  for (int i = 0; i < 50; ++i) f.loop.advance(1s);
  CHECK(f.logged("breaker.opened"));
  CHECK(f.dms.claims.size() >= 13);
}

TEST_CASE("disk_guard: nothing is leased while no outcome can be kept", "[node][disk_guard]") {
  testing::EngineFixture f;
  f.add([](TaskContext&) -> Awaitable<Result<void>> { co_return Result<void>(); });
  f.journal.failure = Error(ErrorKind::full, "state_full", "no space left");
  f.start();
  f.loop.advance(30s);
  CHECK(f.polls() == 0);
  REQUIRE(f.engine->reasons().size() == 1);
  CHECK(f.engine->reasons()[0].find("STATE_DIR takes no writes") != std::string::npos);
  f.journal.failure.reset();
  f.loop.advance(3s);
  CHECK(f.polls() >= 1);
}

}  // namespace pn::node
