#include "base/retry.hpp"

#include "base/awaitable.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "tests/support/fake_rng.hpp"
#include "tests/support/test_loop.hpp"

#include <algorithm>
#include <functional>
#include <optional>
#include <utility>

#include <catch2/catch.hpp>

namespace pn {
namespace {

using namespace std::chrono_literals;
using testing::FakeRng;
using testing::TestLoop;

Awaitable<void> into(Awaitable<Result<int>> op, std::optional<Result<int>>& out) {
  out.emplace(co_await std::move(op));
}

}  // namespace

TEST_CASE("backoff: doubles to the top, jittered, and obeys a longer wish of the server",
          "[base]") {
  FakeRng rng(7);
  Backoff backoff({.first = 2s, .max = 60s});
  Millis expected = 2s;
  for (int i = 0; i < 10; ++i) {
    const std::optional<Millis> pause = backoff.next(rng, std::nullopt);
    REQUIRE(pause);
    CHECK(*pause >= expected * 8 / 10);
    CHECK(*pause <= expected * 12 / 10);
    expected = std::min<Millis>(expected * 2, 60s);
  }
  CHECK(backoff.next(rng, Millis(500s)) == Millis(500s));
  backoff.reset();
  CHECK(*backoff.next(rng, std::nullopt) <= 2400ms);
}

TEST_CASE("retry: goes on while the kind is retry, stops at the tries or another kind", "[base]") {
  TestLoop loop;
  FakeRng rng;
  int calls = 0;
  std::optional<Result<int>> out;

  SECTION("success at the third") {
    const std::function<Awaitable<Result<int>>()> op = [&]() -> Awaitable<Result<int>> {
      if (++calls < 3) co_return Error(ErrorKind::retry, "x", "");
      co_return 5;
    };
    testing::Started s(loop, into(retry<int>(loop.clock, rng, {.first = 1s}, {}, op), out));
    loop.advance(10s);
    REQUIRE(out);
    CHECK(out->value() == 5);
    CHECK(calls == 3);
  }
  SECTION("tries used up") {
    const std::function<Awaitable<Result<int>>()> op = [&]() -> Awaitable<Result<int>> {
      ++calls;
      co_return Error(ErrorKind::retry, "x", "");
    };
    testing::Started s(loop,
                       into(retry<int>(loop.clock, rng, {.first = 1s, .tries = 4}, {}, op), out));
    loop.advance(100s);
    REQUIRE(out);
    CHECK(out->error().code == "x");
    CHECK(calls == 4);
  }
  SECTION("rejected at once") {
    const std::function<Awaitable<Result<int>>()> op = [&]() -> Awaitable<Result<int>> {
      ++calls;
      co_return Error(ErrorKind::rejected, "y", "");
    };
    testing::Started s(loop, into(retry<int>(loop.clock, rng, {.first = 1s}, {}, op), out));
    loop.poll();
    REQUIRE(out);
    CHECK(calls == 1);
  }
}

}  // namespace pn
