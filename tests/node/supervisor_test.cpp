#include "node/supervisor.hpp"

#include "base/time.hpp"
#include "node/health.hpp"
#include "tests/support/test_loop.hpp"

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <catch2/catch.hpp>

namespace pn::node {
namespace {

using namespace std::chrono_literals;
using testing::Started;
using testing::TestLoop;

struct FakeSupervisor final : Supervisor {
  std::optional<Millis> period = 30s;
  std::size_t fed = 0;
  std::vector<Millis> more;
  std::vector<std::string> lines;

  [[nodiscard]] std::optional<Millis> watchdog() const override { return period; }
  void ready() override {}
  void alive() override { ++fed; }
  void stopping(Millis longer) override { more.push_back(longer); }
  void say(std::string_view line) override { lines.emplace_back(line); }
};

}  // namespace

TEST_CASE("sdnotify: a frozen poller stops the watchdog, one that turns again feeds it",
          "[node][sdnotify]") {
  TestLoop loop;
  FakeSupervisor systemd;
  HealthFacts facts;
  facts.next_turn_by = loop.clock.steady_now() + 60s;
  const auto look = [&] {
    facts.now = loop.clock.steady_now();
    return Vitals{.alive = !poller_frozen(facts), .stopping = false, .line = "leasing"};
  };
  Started supervising(loop, supervise(systemd, loop.clock, look));
  loop.advance(59s);
  CHECK(systemd.fed >= 6);  // three a period or more
  CHECK(systemd.lines == std::vector<std::string>{"leasing"});
  loop.advance(5s);
  const std::size_t fed = systemd.fed;
  loop.advance(10min);
  CHECK(systemd.fed == fed);
  facts.next_turn_by = loop.clock.steady_now() + 60s;
  loop.advance(10s);
  CHECK(systemd.fed > fed);
  supervising.cancel();
  loop.poll();
}

TEST_CASE("sdnotify: a drain is extended before the time that was asked for is over",
          "[node][sdnotify]") {
  TestLoop loop;
  FakeSupervisor systemd;
  systemd.period =
      GENERATE(as<std::optional<Millis>>(), std::nullopt, Millis(90), Millis(3'600'000));
  bool stopping = false;
  const auto look = [&] {
    return Vitals{.alive = true, .stopping = stopping, .line = stopping ? "draining" : "leasing"};
  };
  Started supervising(loop, supervise(systemd, loop.clock, look));
  loop.advance(5s);
  CHECK(systemd.more.empty());
  stopping = true;
  loop.advance(60s);
  REQUIRE_FALSE(systemd.more.empty());
  const auto often = static_cast<long>(systemd.more.size());
  CHECK(60'000 / often * 2 < systemd.more.front().count());
  CHECK(systemd.lines == std::vector<std::string>{"leasing", "draining"});
  supervising.cancel();
  loop.poll();
}

}  // namespace pn::node
