#include "base/rng.hpp"
#include "base/time.hpp"
#include "node/lease_core.hpp"
#include "tests/support/fake_rng.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>

#include <catch2/catch.hpp>

// Random lives of leases: whatever is answered, late or not at all, the fence holds.

namespace pn::node {
namespace {

using namespace std::chrono_literals;

struct Life {
  explicit Life(std::uint64_t seed) : rng(seed), core_rng(seed + 1) {}

  Millis between(Millis low, Millis high) { return uniform(rng, low, high); }
  bool one_in(std::uint64_t n) { return uniform(rng, std::uint64_t{1}, n) == 1; }
  /// The margin that the fence keeps at least from the end that a request brought.
  static Millis margin(Millis ttl) {
    return std::min(std::max(Millis(ttl.count() * 15 / 100), Millis(1000)), ttl / 2);
  }

  pn::testing::FakeRng rng;
  pn::testing::FakeRng core_rng;
  SteadyTime now{1h};
};

}  // namespace

TEST_CASE("lease: a try always ends before the fence does, with the defaults", "[node][lease]") {
  pn::testing::FakeRng rng;
  for (Millis ttl = 2'000ms; ttl <= 3'600'000ms; ttl += 1'777ms) {
    LeaseCore core(LeasePolicy{}, rng);
    core.granted(SteadyTime{1h}, SteadyTime{1h}, ttl);
    CAPTURE(ttl.count());
    CHECK(core.try_timeout() <= Life::margin(ttl));
    CHECK(core.fence() == SteadyTime{1h} + ttl - Life::margin(ttl));
  }
}

TEST_CASE("lease: in random lives the fence is never late, and a beat is always due before it",
          "[node][lease]") {
  const std::uint64_t seed = Catch::rngSeed() + 1;
  for (std::uint64_t round = 0; round < 400; ++round) {
    CAPTURE(seed, round);
    Life life(seed * 10'000 + round);
    LeaseCore core(LeasePolicy{}, life.core_rng);
    const SteadyTime claimed = life.now;
    Millis ttl = life.between(1'000ms, 120'000ms);
    life.now += life.between(0ms, 300ms);
    core.granted(claimed, life.now, ttl);
    // What the server has promised, counted from when we asked for it.
    SteadyTime end = claimed + ttl;
    for (int step = 0; step < 200 && life.now < core.fence(); ++step) {
      REQUIRE(core.fence() <= end);
      if (life.one_in(4)) core.changed(life.now);
      if (life.one_in(8)) core.hurry(life.now);
      const SteadyTime due = core.next_beat();
      // There is a chance to renew it, but for the last moment.
      REQUIRE((due < core.fence() || core.fence() - life.now <= 20ms));
      life.now = std::max(life.now, due);
      if (life.now >= core.fence()) break;
      const SteadyTime sent = life.now;
      const SteadyTime until = core.try_until(sent);
      REQUIRE(until <= core.fence());
      core.sending();
      const SteadyTime fence = core.fence();
      if (life.one_in(3)) {
        // Answered: with a new end, without one, or with nonsense.
        life.now +=
            std::min(life.between(0ms, 500ms), std::chrono::duration_cast<Millis>(until - sent));
        if (life.one_in(10)) {
          core.accepted(sent, life.now, std::nullopt);
          end = sent + core.ttl().value_or(ttl);
        } else {
          ttl = life.between(1'000ms, 120'000ms);
          core.accepted(sent, life.now, ttl);
          end = sent + ttl;
        }
      } else {
        life.now += life.between(0ms, std::chrono::duration_cast<Millis>(until - sent));
        std::optional<Millis> after;
        if (life.one_in(3)) after = life.between(0ms, 900'000ms);
        core.failed(life.now, after);
        REQUIRE(core.fence() == fence);
        core.changed(life.now);
        REQUIRE(core.next_beat() >= life.now);
      }
    }
  }
}

TEST_CASE("lease: without an end named nothing ever ends by time", "[node][lease]") {
  const std::uint64_t seed = Catch::rngSeed() + 1;
  CAPTURE(seed);
  Life life(seed);
  LeaseCore core(LeasePolicy{}, life.core_rng);
  core.granted(life.now, life.now, std::nullopt);
  for (int step = 0; step < 500; ++step) {
    CHECK(core.fence() == SteadyTime::max());
    core.sending();
    life.now += life.between(0ms, 5'000ms);
    if (life.one_in(2)) {
      core.accepted(life.now, life.now, std::nullopt);
      CHECK(core.next_beat() == SteadyTime::max());
    } else {
      core.failed(life.now, std::nullopt);
      CHECK(core.next_beat() <= life.now + 60s);
    }
  }
}

}  // namespace pn::node
