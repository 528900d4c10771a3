#include "node/poll_core.hpp"

#include "tests/support/fake_rng.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include <catch2/catch.hpp>

namespace pn::node {

using namespace std::chrono_literals;

TEST_CASE("poll: at once after work", "[node][poll]") {
  testing::FakeRng rng;
  PollCore core(1s, 30s, rng);
  CHECK(core.after_work() == 0ms);
}

TEST_CASE("poll: idle pauses fill the range evenly", "[node][poll]") {
  testing::FakeRng rng;
  PollCore core(1s, 30s, rng);
  std::array<int, 29> seen{};
  for (int i = 0; i < 29'000; ++i) {
    const Millis pause = core.after_nothing(0ms, std::nullopt);
    REQUIRE(pause >= 1s);
    REQUIRE(pause <= 30s);
    ++seen[static_cast<std::size_t>(std::min<std::int64_t>((pause.count() - 1000) / 1000, 28))];
  }
  CHECK(*std::min_element(seen.begin(), seen.end()) > 800);
  CHECK(*std::max_element(seen.begin(), seen.end()) < 1200);
}

TEST_CASE("poll: a request that was held is followed at once, one that was not is not",
          "[node][poll]") {
  testing::FakeRng rng;
  PollCore core(1s, 30s, rng);
  CHECK(core.after_nothing(30s, std::nullopt) == 0ms);
  CHECK(core.after_nothing(20ms, std::nullopt) >= 1s);
}

TEST_CASE("poll: errors widen the range up to the longest pause", "[node][poll]") {
  testing::FakeRng rng;
  PollCore core(1s, 30s, rng);
  Millis limit = 2s;
  for (int i = 0; i < 100; ++i) {
    const Millis pause = core.after_error(std::nullopt);
    CHECK(pause >= 1s);
    CHECK(pause <= limit);
    limit = std::min<Millis>(limit * 2, 30s);
  }
  core.after_work();
  CHECK(core.after_error(std::nullopt) <= 2s);
}

TEST_CASE("poll: Retry-After wins when it is longer, within reason", "[node][poll]") {
  testing::FakeRng rng;
  PollCore core(1s, 2s, rng);
  CHECK(core.after_error(45s) == 45s);
  CHECK(core.after_nothing(0ms, 45s) == 45s);
  CHECK(core.after_nothing(30s, 45s) == 45s);
  CHECK(core.after_error(0s) >= 1s);
  CHECK(core.after_error(24h) == 600s);
}

}  // namespace pn::node
