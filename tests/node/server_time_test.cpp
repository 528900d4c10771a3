#include "node/server_time.hpp"

#include "base/rng.hpp"
#include "base/time.hpp"
#include "tests/support/fake_rng.hpp"

#include <chrono>

#include <catch2/catch.hpp>

namespace pn::node {

using namespace std::chrono_literals;

TEST_CASE("server time: clocks that may agree are taken to agree", "[node][lease]") {
  const SystemTime now = *parse_rfc3339("2026-11-20T10:00:00Z");
  ServerTime time;
  CHECK(time.offset() == 0s);
  time.observe(now, now + 100ms, now + 900ms);
  CHECK(time.offset() == 0s);
}

TEST_CASE("server time: never behind the server, at most two seconds ahead", "[node][lease]") {
  testing::FakeRng rng(5);
  for (int i = 0; i < 5000; ++i) {
    const SystemTime base =
        *parse_rfc3339("2026-11-20T10:00:00Z") + uniform(rng, Millis(0), Millis(5'000));
    const Millis skew = uniform(rng, Millis(-700'000), Millis(700'000));
    if (skew > -2s && skew < 2s) continue;
    ServerTime time;
    SystemTime at = base;
    for (int answer = 0; answer < 4; ++answer) {
      const Millis up = uniform(rng, Millis(0), Millis(30'000));  // a long poll, too
      const Millis down = uniform(rng, Millis(0), Millis(900));
      const SystemTime made = at + up + skew;  // by the server's clock
      time.observe(std::chrono::floor<std::chrono::seconds>(made), at, at + up + down);
      CHECK(time.offset() >= skew);
      CHECK(time.offset() <= skew + 2s);
      at += up + down + uniform(rng, Millis(0), Millis(3'000));
    }
  }
}

TEST_CASE("server time: a clock that was set starts anew", "[node][lease]") {
  const SystemTime now = *parse_rfc3339("2026-11-20T10:00:00Z");
  ServerTime time;
  time.observe(now, now, now);
  time.observe(now + 600s, now, now);
  CHECK(time.offset() >= 600s);
  CHECK(time.offset() <= 601s);
  time.observe(now, now, now);
  CHECK(time.offset() == 0s);
}

}  // namespace pn::node
