#include "base/finally.hpp"

#include "base/awaitable.hpp"
#include "tests/base/sleepers.hpp"
#include "tests/support/test_loop.hpp"

#include <chrono>
#include <functional>
#include <stdexcept>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

namespace pn {
namespace {

using namespace std::chrono_literals;
using testing::fail_after;
using testing::sleep_then;
using testing::Started;
using testing::TestLoop;

}  // namespace

TEST_CASE("finally: what was thrown comes after the clean-up, which nobody cancels", "[base]") {
  TestLoop loop;
  std::vector<int> log;
  const std::function<Awaitable<void>()> cleanup = [&] {
    return sleep_then(loop.clock, 1s, log, 2);
  };
  const auto body = [&](Awaitable<void> op) -> Awaitable<void> {
    co_await finally(std::move(op), cleanup);
    log.push_back(3);
  };
  SECTION("after success") {
    Started started(loop, body(sleep_then(loop.clock, 1s, log, 1)));
    loop.advance(2s);
    CHECK(log == std::vector<int>{1, 2, 3});
    CHECK_FALSE(started.failed());
  }
  SECTION("after a failure") {
    Started started(loop, body(fail_after(loop.clock, 1s)));
    loop.advance(1s);
    CHECK_FALSE(started.done());
    loop.advance(1s);
    CHECK(log == std::vector<int>{2});
    CHECK_THROWS_AS(started.rethrow(), std::runtime_error);
  }
  SECTION("after a cancellation") {
    Started started(loop, body(sleep_then(loop.clock, 9s, log, 1)));
    loop.poll();
    started.cancel();
    loop.poll();
    started.cancel();
    loop.advance(1s);
    CHECK(log == std::vector<int>{2});
    REQUIRE(started.done());
    CHECK_THROWS_AS(started.rethrow(), boost::system::system_error);
  }
}

}  // namespace pn
