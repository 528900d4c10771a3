#include "node/outbox_core.hpp"

#include "base/time.hpp"
#include "node/journal.hpp"
#include "tests/support/fake_rng.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <map>
#include <optional>

#include <catch2/catch.hpp>

namespace pn::node {
namespace {

using namespace std::chrono_literals;
using Act = OutboxCore::Act;

const SteadyTime kStart{std::chrono::hours(1000)};

/// A core and a server that is there or not; time goes in the steps that the core asks for.
struct Simulation {
  testing::FakeRng rng;
  OutboxCore core{rng};
  SteadyTime now = kStart;
  bool up = true;
  std::map<RowId, int> sends;
  int probes = 0;
  std::size_t most_in_a_minute = 0;

  void add(RowId id) { core.add(id, now); }

  /// Every request is answered within the millisecond.
  void run_until(SteadyTime end) {
    while (now < end) {
      const OutboxCore::Step step = core.next(now);
      if (step.act == Act::send) {
        ++sends[step.id];
        core.sending(step.id, now);
        if (up) {
          core.sent(step.id, now);
        } else {
          core.failed(step.id, now, std::nullopt);
        }
      } else if (step.act == Act::probe) {
        ++probes;
        core.probing();
        if (up) {
          core.heard(now);
        } else {
          core.probe_failed(now);
        }
      } else {
        now = std::min(step.until, end);
      }
    }
  }
};

}  // namespace

TEST_CASE("outbox core: what is new goes at once, eight at a time", "[node][outbox]") {
  testing::FakeRng rng;
  OutboxCore core(rng);
  CHECK(core.next(kStart).act == Act::wait);
  CHECK(core.next(kStart).until == SteadyTime::max());
  for (RowId id = 1; id <= 20; ++id) core.add(id, kStart);
  for (std::size_t i = 0; i < OutboxCore::kTogether; ++i) {
    const OutboxCore::Step step = core.next(kStart);
    REQUIRE(step.act == Act::send);
    core.sending(step.id, kStart);
  }
  CHECK(core.next(kStart).act == Act::wait);
  core.sent(1, kStart);
  CHECK(core.next(kStart).act == Act::send);
}

TEST_CASE("outbox core: a hiccup costs a quarter of a second", "[node][outbox]") {
  testing::FakeRng rng;
  OutboxCore core(rng);
  core.add(1, kStart);
  core.sending(1, kStart);
  core.failed(1, kStart, std::nullopt);
  CHECK(core.away());
  CHECK(core.delayed(1));
  CHECK(core.next(kStart + 190ms).act == Act::wait);
  const OutboxCore::Step step = core.next(kStart + 310ms);
  CHECK(step.act == Act::send);
  CHECK(step.id == 1);
}

TEST_CASE("outbox core: a server that is away is asked by one at a time", "[node][outbox]") {
  Simulation s;
  for (RowId id = 1; id <= 1000; ++id) s.add(id);
  s.up = false;
  s.run_until(kStart + 1h);
  std::size_t total = 0;
  int most = 0;
  for (const auto& [id, count] : s.sends) {
    total += static_cast<std::size_t>(count);
    most = std::max(most, count);
  }
  CHECK(total < 3600 / 17 + 20);
  CHECK(most <= 10);
  s.up = true;
  s.run_until(s.now + 30s);
  CHECK(s.core.size() == 0);
}

TEST_CASE("outbox core: alone and unheard a receipt is back within half a minute",
          "[node][outbox]") {
  Simulation s;
  s.add(1);
  s.up = false;
  s.run_until(kStart + 24h);
  CHECK(s.sends[1] <= 24 * 60);
  CHECK(s.sends[1] > 24 * 30);
  CHECK(s.probes > 0);
  s.up = true;
  s.run_until(s.now + 30s);
  CHECK(s.core.size() == 0);
}

TEST_CASE("outbox core: what DMS answers others brings the receipts back", "[node][outbox]") {
  Simulation s;
  s.add(1);
  s.add(2);
  s.up = false;
  s.run_until(kStart + 1h);
  const int before = s.sends[1] + s.sends[2];
  s.up = true;
  s.now += 6s;  // since the last try
  s.core.heard(s.now);
  CHECK_FALSE(s.core.away());
  s.run_until(s.now + 1ms);
  CHECK(s.sends[1] + s.sends[2] == before + 2);
  CHECK(s.core.size() == 0);
}

TEST_CASE("outbox core: a server that answers all but receipts is not flooded", "[node][outbox]") {
  Simulation s;
  for (RowId id = 1; id <= 100; ++id) s.add(id);
  s.up = false;
  int total = 0;
  for (int second = 0; second < 3600; ++second) {
    s.core.heard(s.now);
    s.run_until(s.now + 1s);
  }
  for (const auto& [id, count] : s.sends) total += count;
  // One a second at most, after the first eight: each hint lets one go.
  CHECK(total <= 2 * 3600 + 20);
  CHECK(s.sends[1] <= 100);
}

TEST_CASE("outbox core: Retry-After holds, whatever is heard", "[node][outbox]") {
  testing::FakeRng rng;
  OutboxCore core(rng);
  core.add(1, kStart);
  core.sending(1, kStart);
  core.failed(1, kStart, 100s);
  core.heard(kStart + 20s);
  CHECK(core.next(kStart + 99s).act == Act::wait);
  CHECK(core.next(kStart + 101s).act == Act::send);
  core.sending(1, kStart + 101s);
  core.failed(1, kStart + 101s, 24h);  // not for a day
  core.heard(kStart + 102s);
  CHECK(core.next(kStart + 101s + OutboxCore::kLongestAfter).act == Act::send);
}

TEST_CASE("outbox core: one that the server cannot take does not hold up the others",
          "[node][outbox]") {
  testing::FakeRng rng;
  OutboxCore core(rng);
  SteadyTime now = kStart;
  core.add(1, now);
  std::map<RowId, int> sends;
  RowId next_id = 2;
  while (now < kStart + 1h) {
    core.add(next_id++, now);
    for (OutboxCore::Step step = core.next(now); step.act != Act::wait; step = core.next(now)) {
      if (step.act == Act::probe) {
        core.probing();
        core.heard(now);
        continue;
      }
      ++sends[step.id];
      core.sending(step.id, now);
      if (step.id == 1) {
        core.failed(1, now, std::nullopt);
      } else {
        core.sent(step.id, now);
      }
    }
    now += 1s;
  }
  CHECK(core.size() <= 3);
  CHECK(sends[1] < 200);
}

TEST_CASE("outbox core: what is withdrawn in flight leaves its place", "[node][outbox]") {
  testing::FakeRng rng;
  OutboxCore core(rng);
  for (RowId id = 1; id <= 9; ++id) core.add(id, kStart);
  for (RowId id = 1; id <= 8; ++id) core.sending(id, kStart);
  core.remove(3);
  const OutboxCore::Step step = core.next(kStart);
  CHECK(step.act == Act::send);
  CHECK(step.id == 9);
  core.failed(3, kStart, std::nullopt);  // its answer is nobody's
  CHECK_FALSE(core.away());
}

}  // namespace pn::node
