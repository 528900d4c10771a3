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

TEST_CASE("poll: before the first answer errors widen the range up to the longest pause",
          "[node][poll]") {
  testing::FakeRng rng;
  PollCore core(1s, 30s, rng);
  Millis limit = 2s;
  for (int i = 0; i < 100; ++i) {
    const Millis pause = core.after_error(std::nullopt);
    CHECK(pause >= 1s);
    CHECK(pause <= limit);
    limit = std::min<Millis>(limit * 2, 30s);
  }
}

TEST_CASE("poll: after the first answer errors spread the nodes at once", "[node][poll]") {
  testing::FakeRng rng;
  PollCore core(1s, 30s, rng);
  Millis longest{0};
  Millis shortest_second{30s};
  for (int i = 0; i < 1000; ++i) {
    core.after_work();
    const Millis first = core.after_error(std::nullopt);
    const Millis second = core.after_error(std::nullopt);
    CHECK(first >= 1s);
    longest = std::max({longest, first, second});
    shortest_second = std::min(shortest_second, second);
  }
  CHECK(longest <= 30s);
  CHECK(longest > 28s);
  CHECK(shortest_second >= 7500ms);
}

TEST_CASE("poll: a Retry-After is kept to, and spread", "[node][poll]") {
  testing::FakeRng rng;
  PollCore core(1s, 2s, rng);
  for (int i = 0; i < 100; ++i) {
    for (const Millis pause :
         {core.after_error(45s), core.after_nothing(0ms, 45s), core.after_nothing(30s, 45s)}) {
      CHECK(pause >= 45s);
      CHECK(pause <= 47s);
    }
  }
  CHECK(core.after_error(0s) >= 1s);
  CHECK(core.after_error(24h) <= 602s);
}

TEST_CASE("poll: a longest pause below the shortest is the shortest", "[node][poll]") {
  testing::FakeRng rng;
  PollCore core(5s, 1s, rng);
  CHECK(core.after_nothing(0ms, std::nullopt) == 5s);
  CHECK(core.after_error(std::nullopt) == 5s);
}

}  // namespace pn::node
