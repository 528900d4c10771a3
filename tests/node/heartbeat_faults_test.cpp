#include "base/awaitable.hpp"
#include "base/json.hpp"
#include "base/result.hpp"
#include "base/rng.hpp"
#include "base/time.hpp"
#include "tests/node/engine_fixture.hpp"
#include "tests/node/fake_dms.hpp"
#include "tests/node/node_world.hpp"
#include "tests/support/fake_rng.hpp"
#include "tests/support/fault_proxy.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <boost/asio/post.hpp>
#include <catch2/catch.hpp>

namespace pn::node {
namespace {

using pn::testing::Fault;
using pn::testing::FaultProxy;
using testing::EngineFixture;
using testing::envelope;

using testing::Reply;

constexpr auto kTtl = 10s;
/// The default: max(15 % of the lease, 1 s).
constexpr auto kMargin = 1500ms;
/// For the last try of all: the shortest time-out of one, and the pause before it.
constexpr auto kLastTry = 600ms;

/// A server that is well, for one beat at a time, and then in trouble for as long as it likes.
struct TroubledDms {
  EngineFixture& f;
  pn::testing::FakeRng rng;
  SteadyTime well_at{};
  std::size_t faults = 0;
  std::size_t accepted = 0;

  Reply answer() {
    const SteadyTime now = f.loop.clock.steady_now();
    if (now < well_at) {
      ++faults;
      return harm();
    }
    ++accepted;
    // From this beat on: the node has until the fence to get the next one through.
    well_at = now + uniform(rng, Millis(0), Millis(kTtl - kMargin - kLastTry));
    return Reply(200, Json{{"lease_expires_at", format_rfc3339(f.loop.clock.system_now() + kTtl)}});
  }
  Reply harm() {
    switch (uniform(rng, std::uint64_t{0}, std::uint64_t{11})) {
      case 0:
        return Reply(500, std::string());
      case 1:
        return Reply(502, std::string("<html>"));
      case 2: {
        Reply out(503, std::string());
        out.headers.set("retry-after",
                        std::to_string(uniform(rng, std::uint64_t{0}, std::uint64_t{900})));
        return out;
      }
      case 3:
        return Reply(504, std::string());
      case 4:
        return Reply(429, std::string());
      case 5:
        return Reply(408, std::string());
      case 6:
        return Reply::error(Error(ErrorKind::retry, "curl_recv_error", "reset"));
      case 7:
        return Reply::hang();
      case 8:
        return Reply(200, std::string("<html>"));
      case 9:
        return Reply(200, std::string(R"({"lease_expires_at":7})"));
      case 10:
        return Reply(200, std::string("[]"));
      default: {
        Reply out(503, std::string());
        out.after = uniform(rng, Millis(1), Millis(3000));
        return out;
      }
    }
  }
};

}  // namespace

TEST_CASE("heartbeat_faults: any mix shorter than the lease less its margin cancels nothing",
          "[node][heartbeat_faults]") {
  const std::uint64_t seed = Catch::rngSeed() + 1;
  std::size_t faults = 0;
  std::size_t accepted = 0;
  for (std::uint64_t round = 0; round < 30; ++round) {
    CAPTURE(seed, round);
    EngineFixture f;
    TroubledDms dms{f, pn::testing::FakeRng(seed * 1000 + round)};
    bool stopped = false;
    f.add([&](TaskContext& task) -> Awaitable<Result<void>> {
      struct Ended {
        bool& stopped;
        bool worked = false;
        ~Ended() { stopped = !worked; }
      };
      Ended ended{stopped};
      for (int i = 0; i < 300; ++i) {
        task.progress("{\"step\":" + std::to_string(i) + "}");
        task.event(std::to_string(i));
        co_await task.clock().sleep_for(1s);
      }
      ended.worked = true;
      co_return Result<void>();
    });
    std::vector<int> events;
    f.dms.on_heartbeat = [&](const Json& body) {
      const std::size_t before = dms.accepted;
      Reply reply = dms.answer();
      if (dms.accepted > before) {
        for (const Json& event : body["events"]) events.push_back(event.get<int>());
      }
      return reply;
    };
    f.dms.claims.push_back(Reply(200, envelope(f.loop.clock, "t1", kTtl)));
    f.start();
    f.loop.advance(330s);
    CHECK_FALSE(stopped);
    CHECK(f.dms.count("complete") == 1);
    CHECK(f.dms.count("fail") == 0);
    CHECK_FALSE(f.logged("lease.fenced"));
    // In order, each once. The last flush is given up after a few tries: the receipt matters more.
    REQUIRE(events.size() >= 285);
    for (std::size_t i = 0; i < events.size(); ++i) REQUIRE(events[i] == static_cast<int>(i));
    faults += dms.faults;
    accepted += dms.accepted;
  }
  std::cout << "heartbeat_faults: seed " << seed << ", " << faults << " faults, " << accepted
            << " accepted, 0 cancels\n";
  CHECK(faults > 1000);
}

TEST_CASE("heartbeat_faults: over real sockets, harmed in every way there is",
          "[node][heartbeat_faults][e2e][mt]") {
  World world;
  const std::uint64_t seed = Catch::rngSeed() + 1;
  CAPTURE(seed);
  pn::testing::FakeRng rng(seed);
  world.market.lease_ttl = 2s;
  std::vector<int> seen(pn::testing::kFaults);
  int beats = 0;
  // Two harmed heartbeats, then one that gets through; other calls are left alone.
  const auto script = [&](std::string_view, std::string_view path) {
    if (!path.ends_with("/heartbeat") || beats++ % 3 == 2) return Fault::none;
    const auto fault =
        static_cast<int>(uniform(rng, std::uint64_t{1}, std::uint64_t{pn::testing::kFaults - 1}));
    ++seen[static_cast<std::size_t>(fault)];
    return static_cast<Fault>(fault);
  };
  const std::uint16_t port = http::Url::parse(world.market.url()).value().port();
  FaultProxy proxy(world.control, port, script);
  world.config.dms_base_url = http::Url::parse(proxy.url() + "/v1").value();
  world.add([](TaskContext& task) -> Awaitable<Result<void>> {
    for (int i = 0; i < 25; ++i) {
      task.event(std::to_string(i));
      co_await task.clock().sleep_for(100ms);
    }
    co_return Result<void>();
  });
  world.market.offer("t1");
  world.start();
  CHECK(world.turn([&] { return world.market.of("/complete").size() == 1; }));
  CHECK_FALSE(world.logged("lease.fenced"));
  CHECK_FALSE(world.logged("lease.lost"));
  CHECK(world.logged("heartbeat.failed"));
  CHECK(proxy.harmed() > 5);
  std::cout << "heartbeat_faults: seed " << seed << ", " << proxy.harmed()
            << " exchanges harmed over real sockets\n";
}

TEST_CASE("lease_gone: a definite answer ends the runner within a second, and the node polls on",
          "[node][lease_gone]") {
  const int status = GENERATE(403, 404, 409, 410, 401);
  CAPTURE(status);
  EngineFixture f;
  std::optional<SteadyTime> started;
  std::optional<SteadyTime> ended;
  f.add([&](TaskContext& task) -> Awaitable<Result<void>> {
    static_cast<void>(task.workspace());
    struct Ended {
      Clock& clock;
      std::optional<SteadyTime>& at;
      ~Ended() { at = clock.steady_now(); }
    };
    const Ended on_end{task.clock(), ended};
    started = task.clock().steady_now();
    co_await task.clock().sleep_for(1h);
    co_return Result<void>();
  });
  std::optional<SteadyTime> gone;
  f.dms.on_heartbeat = [&](const Json&) {
    if (f.dms.count("heartbeat") < 2) return f.renewed();
    if (!gone) gone = f.loop.clock.steady_now();
    return Reply(status, std::string());
  };
  f.offer("t1");
  f.start();
  f.poll_until([&] { return started.has_value(); });
  const std::size_t polls = f.polls();
  f.loop.advance(11s);
  REQUIRE(gone);
  REQUIRE(ended);
  CHECK(*ended - *gone <= 1s);
  CHECK(f.dms.count("heartbeat") == (status == 401 ? 3 : 2));  // 401 twice
  CHECK(f.dms.count("complete") + f.dms.count("fail") == 0);
  CHECK(f.workspaces() == 1);
  f.poll_until([&] { return f.engine->busy() == 0; });
  f.loop.advance(1s);
  CHECK(f.polls() > polls);
  CHECK(f.engine->past().at(0).outcome == "lost");
}

namespace {

/// Heartbeats while every core computes and both pools stand still. (The real binary on a disk that
/// does not answer, for a minute: e2e/starved_test.cpp.)
void starve(Millis ttl, Millis work, Millis limit) {
  World world;
  world.market.lease_ttl = ttl;
  std::atomic<bool> over{false};
  std::vector<std::thread> busy;
  for (unsigned i = 0; i < std::max(2U, std::thread::hardware_concurrency()); ++i) {
    busy.emplace_back([&over] {
      std::uint64_t spin = 0;
      while (!over) spin = spin * 6364136223846793005U + 1;
    });
  }
  // The only thread of each: a job that does not return, as a stalled disk's. Once the node has its
  // folders, which it does wait for.
  const auto stall = [&over] { over.wait(false); };
  std::atomic<bool> ended{false};
  world.add([work, &ended](TaskContext& task) -> Awaitable<Result<void>> {
    const SteadyTime end = task.clock().steady_now() + work;
    for (int i = 0; task.clock().steady_now() < end; ++i) {
      task.progress("{\"step\":" + std::to_string(i) + "}");
      co_await task.clock().sleep_for(100ms);
    }
    ended = true;
    co_return Result<void>();
  });
  world.market.offer("t1");
  world.start();
  REQUIRE(world.turn([&] { return world.logged("node.started"); }));
  asio::post(world.io.executor(), stall);
  asio::post(world.compute.executor(), stall);
  const auto end = std::chrono::steady_clock::now() + limit;
  const auto worked = [&ended] { return ended.load(); };
  while (!world.turn(worked) && std::chrono::steady_clock::now() < end) continue;
  over = true;
  over.notify_all();
  for (std::thread& thread : busy) thread.join();
  CHECK(world.turn([&] { return !world.market.of("/complete").empty(); }));
  CHECK_FALSE(world.logged("lease.fenced"));
  CHECK_FALSE(world.logged("heartbeat.failed"));
}

}  // namespace

TEST_CASE("heartbeat_starved: all cores busy, disk and pools stalled, no lease of 2 s is missed",
          "[node][heartbeat_starved][mt]") {
  starve(2s, 4s, 20s);
}

}  // namespace pn::node
