#include "node/breaker_core.hpp"

#include "base/time.hpp"

#include <algorithm>
#include <chrono>
#include <random>
#include <vector>

#include <catch2/catch.hpp>

namespace pn::node {
namespace {

using namespace std::chrono_literals;
using Change = BreakerCore::Change;
using Fate = BreakerCore::Fate;
using Ticket = BreakerCore::Ticket;

struct Fixture {
  BreakerCore breaker{5, 60s};
  SteadyTime now{};

  Change task(Fate fate, Millis took) {
    const SteadyTime leased = now;
    const Ticket ticket = breaker.leased(now);
    now += took;
    breaker.look(now);
    return breaker.ended(ticket, fate, leased, now);
  }
  void open() {
    for (int i = 0; i < 5; ++i) task(Fate::failed, 1s);
    REQUIRE(breaker.open());
  }
};

}  // namespace

TEST_CASE("breaker: five quick failures in a row open it, four do not", "[node][breaker]") {
  Fixture f;
  for (int i = 0; i < 4; ++i) CHECK(f.task(Fate::failed, 1s) == Change::none);
  CHECK(f.breaker.may_lease(f.now));
  CHECK(f.task(Fate::failed, 1s) == Change::opened);
  CHECK_FALSE(f.breaker.may_lease(f.now));
  CHECK_FALSE(f.breaker.may_lease(f.now + 59s));
  CHECK(f.breaker.may_lease(f.now + 60s));
}

TEST_CASE("breaker: what worked or failed slowly starts the count anew, other ends say nothing",
          "[node][breaker]") {
  Fixture f;
  for (int i = 0; i < 4; ++i) f.task(Fate::failed, 1s);
  SECTION("worked") {
    f.task(Fate::worked, 1s);
    CHECK(f.task(Fate::failed, 1s) == Change::none);
  }
  SECTION("failed slowly") {
    f.task(Fate::failed, 60s);
    CHECK(f.task(Fate::failed, 1s) == Change::none);
  }
  SECTION("canceled, lost or shut down") {
    CHECK(f.task(Fate::other, 1s) == Change::none);
    CHECK(f.task(Fate::failed, 1s) == Change::opened);
  }
}

TEST_CASE("breaker: one probe a window, which doubles up to an hour, and closes on success",
          "[node][breaker]") {
  Fixture f;
  f.open();
  Millis window = 60s;
  for (int i = 0; i < 10; ++i) {
    CHECK_FALSE(f.breaker.may_lease(f.now + window - 1ms));
    f.now += window;
    REQUIRE(f.breaker.may_lease(f.now));
    CHECK(f.task(Fate::failed, 1s) == Change::none);
    window = std::min<Millis>(window * 2, 1h);
  }
  f.now += 1h;
  CHECK(f.task(Fate::worked, 1s) == Change::closed);
  CHECK(f.breaker.may_lease(f.now));
  f.open();
  CHECK(f.breaker.next_probe() == f.now + 60s);
}

TEST_CASE("breaker: while a probe runs nothing else is leased, until it runs for a window",
          "[node][breaker]") {
  Fixture f;
  f.open();
  f.now += 60s;
  CHECK(f.breaker.leased(f.now) == Ticket::probe);
  CHECK_FALSE(f.breaker.may_lease(f.now + 59s));
  CHECK(f.breaker.look(f.now + 59s) == Change::none);
  CHECK(f.breaker.look(f.now + 60s) == Change::closed);
  CHECK(f.breaker.may_lease(f.now + 60s));
}

TEST_CASE("breaker: a probe that says nothing is followed by another", "[node][breaker]") {
  Fixture f;
  f.open();
  f.now += 60s;
  f.task(Fate::other, 1s);
  CHECK(f.breaker.open());
  CHECK_FALSE(f.breaker.may_lease(f.now));
  CHECK(f.breaker.may_lease(f.now + 60s));
}

TEST_CASE("breaker: what was leased before it opened neither doubles nor, failing, closes it",
          "[node][breaker]") {
  Fixture f;
  const SteadyTime leased = f.now;
  const Ticket before = f.breaker.leased(leased);
  f.open();
  const auto next = f.breaker.next_probe();
  CHECK(f.breaker.ended(before, Fate::failed, leased, f.now) == Change::none);
  CHECK(f.breaker.ended(before, Fate::failed, leased, leased + 2h) == Change::none);
  CHECK(f.breaker.next_probe() == next);
  CHECK(f.breaker.ended(before, Fate::worked, leased, f.now) == Change::closed);
}

TEST_CASE("breaker: 0 failures never open it", "[node][breaker]") {
  BreakerCore breaker(0, 60s);
  for (int i = 0; i < 1000; ++i) {
    CHECK(breaker.ended(Ticket::plain, Fate::failed, SteadyTime{}, SteadyTime{}) == Change::none);
  }
}

TEST_CASE("breaker: however tasks end, it never lets two leases through a window",
          "[node][breaker]") {
  const auto seed = Catch::rngSeed() + 1;
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const auto below = [&random](int limit) {
    return static_cast<int>(random() % static_cast<unsigned>(limit));
  };
  for (int round = 0; round < 200; ++round) {
    Fixture f;
    std::vector<SteadyTime> leases;
    for (int step = 0; step < 300; ++step) {
      f.now += Millis(below(20'000));
      f.breaker.look(f.now);
      if (!f.breaker.open()) leases.clear();
      if (!f.breaker.may_lease(f.now)) continue;
      if (f.breaker.open()) {
        if (!leases.empty()) REQUIRE(f.now - leases.back() >= 60s);
        leases.push_back(f.now);
      }
      f.task(below(10) == 0 ? Fate::other : Fate::failed, Millis(below(59'000)));
    }
  }
}

}  // namespace pn::node
