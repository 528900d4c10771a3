#include "node/lease_core.hpp"

#include "base/rng.hpp"
#include "base/time.hpp"
#include "tests/support/fake_rng.hpp"

#include <chrono>
#include <optional>
#include <ratio>

#include <catch2/catch.hpp>

namespace pn::node {
namespace {

using namespace std::chrono_literals;
using testing::FakeRng;

const SteadyTime kStart{1000h};

}  // namespace

TEST_CASE("lease: the first beat is due at once", "[node][lease]") {
  FakeRng rng;
  LeaseCore core({}, rng);
  core.granted(kStart, kStart + 10ms, 30s);
  CHECK(core.next_beat() == kStart + 10ms);
  CHECK(core.fence() <= kStart + 30s - 4s);
}

TEST_CASE("lease: a beat is due between the two ratios of what is left", "[node][lease]") {
  FakeRng rng(7);
  for (int i = 0; i < 2000; ++i) {
    const double low = uniform(rng, 0.01, 0.9);
    const double high = uniform(rng, low, 0.95);
    LeasePolicy policy;
    policy.min_ratio = low;
    policy.max_ratio = high;
    LeaseCore core(policy, rng);
    const Millis ttl = uniform(rng, Millis(200), Millis(600'000));
    const Millis travel = uniform(rng, Millis(0), ttl / 4);
    core.granted(kStart, kStart + travel, ttl);
    core.sending();
    core.accepted(kStart, kStart + travel, ttl);
    const Millis left = ttl - travel;
    const auto wait = std::chrono::duration<double, std::milli>(core.next_beat() - kStart - travel);
    const double count = static_cast<double>(left.count());
    INFO("ttl " << ttl.count() << " travel " << travel.count());
    CHECK(wait.count() >= count * low - 1.0);
    CHECK(wait.count() <= count * high + 1.0);
    // The fence: before the end, by the margin, but never in the first half.
    const SteadyTime end = kStart + ttl;
    CHECK(core.fence() < end);
    CHECK(core.fence() >= kStart + travel + left / 2 - 1ms);
    if (left > 7s) CHECK(end - core.fence() >= left * 15 / 100 - 1ms);
    // A try that starts by the fence ends before the lease does.
    if (left > 2s) CHECK(core.fence() + core.try_timeout() <= end);
  }
}

TEST_CASE("lease: time is counted from when the request was sent", "[node][lease]") {
  FakeRng rng;
  LeasePolicy policy;
  policy.fence_margin = 2s;
  LeaseCore core(policy, rng);
  core.granted(kStart, kStart, 30s);
  core.sending();
  core.accepted(kStart, kStart + 5s, 30s);
  CHECK(core.fence() == kStart + 28s);
}

TEST_CASE("lease: an answer that comes after the end it names does not renew", "[node][lease]") {
  FakeRng rng;
  LeaseCore core({}, rng);
  core.granted(kStart, kStart, 10s);
  core.sending();
  core.accepted(kStart, kStart + 60s, 10s);  // the process was stopped meanwhile
  CHECK(core.fence() <= kStart + 60s);
}

TEST_CASE("lease: failures never move the fence", "[node][lease]") {
  FakeRng rng(3);
  LeaseCore core({}, rng);
  core.granted(kStart, kStart, 30s);
  const SteadyTime fence = core.fence();
  SteadyTime now = kStart;
  int tries = 0;
  while (now < fence) {
    core.sending();
    core.failed(now, std::nullopt);
    CHECK(core.fence() == fence);
    CHECK(core.next_beat() > now);
    CHECK(core.next_beat() - now <= 5s);
    now = core.next_beat();
    ++tries;
  }
  CHECK(core.failures() == tries);
  CHECK(tries > 5);
}

TEST_CASE("lease: Retry-After is honoured while it leaves time for another try", "[node][lease]") {
  FakeRng rng;
  LeaseCore core({}, rng);
  core.granted(kStart, kStart, 30s);
  core.failed(kStart, 4s);
  CHECK(core.next_beat() == kStart + 4s);
  core.failed(kStart + 4s, 3600s);
  CHECK(core.next_beat() < core.fence());
  CHECK(core.next_beat() > kStart + 10s);
}

TEST_CASE("lease: changes are gathered for the jitter, and wait for a retry", "[node][lease]") {
  FakeRng rng(11);
  LeaseCore core({}, rng);
  core.granted(kStart, kStart, 30s);
  core.sending();
  core.accepted(kStart, kStart, 30s);
  core.changed(kStart + 1s);
  const SteadyTime due = core.next_beat();
  CHECK(due >= kStart + 1s);
  CHECK(due <= kStart + 1s + 250ms);
  core.changed(kStart + 1s + 200ms);
  CHECK(core.next_beat() == due);  // the first change sets the time

  core.sending();
  core.changed(due);  // came while the beat was under way
  core.accepted(due, due, 30s);
  CHECK(core.next_beat() <= due + 250ms);

  core.sending();
  core.failed(due, 5s);
  core.changed(due);
  core.hurry(due);
  CHECK(core.next_beat() >= due + 5s);
}

TEST_CASE("lease: without an end there is no fence and no beat by time", "[node][lease]") {
  FakeRng rng;
  LeaseCore core({}, rng);
  core.granted(kStart, kStart, std::nullopt);
  CHECK(core.fence() == SteadyTime::max());
  CHECK(core.next_beat() == kStart);
  core.sending();
  core.accepted(kStart, kStart, std::nullopt);
  CHECK(core.next_beat() == SteadyTime::max());
  CHECK(core.fence() == SteadyTime::max());
  CHECK(core.try_timeout() == 10s);
  core.changed(kStart + 1h);
  CHECK(core.next_beat() <= kStart + 1h + 250ms);
}

TEST_CASE("lease: an accepted beat without an end extends by the lease's length", "[node][lease]") {
  FakeRng rng;
  LeasePolicy policy;
  policy.fence_margin = 0ms;
  LeaseCore core(policy, rng);
  core.granted(kStart, kStart, 30s);
  core.sending();
  core.accepted(kStart + 10s, kStart + 10s, std::nullopt);
  CHECK(core.fence() == kStart + 40s);
}

TEST_CASE("lease: answers without an end do not shorten it by their round trips", "[node][lease]") {
  FakeRng rng;
  LeaseCore core({}, rng);
  core.granted(kStart, kStart, 30s);
  SteadyTime now = kStart;
  for (int i = 0; i < 500; ++i) {
    core.sending();
    core.accepted(now, now + 150ms, std::nullopt);
    REQUIRE(core.ttl() == 30s);
    now = core.next_beat();
  }
}

TEST_CASE("lease: times that make no sense mean now, not a tight loop and not a loss",
          "[node][lease]") {
  FakeRng rng;
  LeaseCore core({}, rng);
  core.granted(kStart, kStart, -60s);
  CHECK(core.next_beat() == kStart);
  CHECK(core.fence() > kStart + 20s);
  SteadyTime now = kStart;
  for (int i = 0; i < 100; ++i) {
    core.sending();
    core.accepted(now, now, i % 2 == 0 ? std::optional<Millis>(-60s) : std::nullopt);
    CHECK(core.next_beat() == now + 1s);
    CHECK(core.fence() > now + 20s);
    now = core.next_beat();
  }
}

TEST_CASE("lease: what is set wins over what is derived", "[node][lease]") {
  FakeRng rng;
  LeasePolicy policy;
  policy.try_timeout = 123ms;
  policy.fence_margin = 5s;
  LeaseCore core(policy, rng);
  core.granted(kStart, kStart, 30s);
  CHECK(core.try_timeout() == 123ms);
  CHECK(core.fence() == kStart + 25s);
  // A margin as long as the lease would leave no time to work.
  core.granted(kStart, kStart, 4s);
  CHECK(core.fence() == kStart + 2s);
}

TEST_CASE("lease: a try takes a tenth of the lease, ten seconds at most", "[node][lease]") {
  FakeRng rng;
  LeaseCore core({}, rng);
  core.granted(kStart, kStart, 30s);
  CHECK(core.try_timeout() == 3s);
  core.granted(kStart, kStart, 3600s);
  CHECK(core.try_timeout() == 10s);
}

}  // namespace pn::node
