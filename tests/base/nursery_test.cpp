#include "base/nursery.hpp"

#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "tests/base/sleepers.hpp"
#include "tests/support/test_loop.hpp"
#include "tests/support/unwound.hpp"

#include <chrono>
#include <exception>
#include <vector>

#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <catch2/catch.hpp>

namespace pn {
namespace {

using namespace std::chrono_literals;
using testing::fail_after;
using testing::sleep_then;
using testing::Started;
using testing::TestLoop;
using testing::Unwound;

Awaitable<void> sleep_and_note(Clock& clock, bool& unwound) {
  const Unwound note{unwound};
  co_await clock.sleep_for(100s);
}

}  // namespace

TEST_CASE("nursery: join waits for every child", "[base]") {
  TestLoop loop;
  Nursery nursery(loop.executor());
  std::vector<int> log;
  nursery.spawn("two", sleep_then(loop.clock, 2s, log, 2));
  nursery.spawn("one", sleep_then(loop.clock, 1s, log, 1));
  Started join(loop, nursery.join());
  loop.advance(1s);
  CHECK(log == std::vector<int>{1});
  CHECK_FALSE(join.done());
  loop.advance(1s);
  CHECK(log == std::vector<int>{1, 2});
  CHECK(join.done());
  CHECK_FALSE(join.failed());
}

TEST_CASE("nursery: the first failure cancels the siblings and is what join throws", "[base]") {
  TestLoop loop;
  Nursery nursery(loop.executor());
  bool unwound = false;
  nursery.spawn("sleeper", sleep_and_note(loop.clock, unwound));
  nursery.spawn("failer", fail_after(loop.clock, 1s));
  Started join(loop, nursery.join());
  loop.advance(1s);
  CHECK(unwound);
  REQUIRE(join.done());
  CHECK_THROWS_WITH(join.rethrow(), "child failed");
}

TEST_CASE("nursery: cancel ends the children without an error", "[base]") {
  TestLoop loop;
  Nursery nursery(loop.executor());
  bool unwound = false;
  nursery.spawn("sleeper", sleep_and_note(loop.clock, unwound));
  loop.poll();
  nursery.cancel();
  Started join(loop, nursery.join());
  loop.poll();
  CHECK(unwound);
  CHECK(join.done());
  CHECK_FALSE(join.failed());
}

TEST_CASE("nursery: cancelling join cancels and awaits the children", "[base]") {
  TestLoop loop;
  Nursery nursery(loop.executor());
  bool unwound = false;
  nursery.spawn("sleeper", sleep_and_note(loop.clock, unwound));
  Started join(loop, nursery.join());
  loop.poll();
  join.cancel();
  loop.poll();
  CHECK(unwound);
  REQUIRE(join.done());
  CHECK(join.failed());
  CHECK(nursery.live() == 0);
}

TEST_CASE("nursery: after a join the caller can still be cancelled", "[base]") {
  TestLoop loop;
  Nursery nursery(loop.executor());
  std::vector<int> log;
  const auto body = [&]() -> Awaitable<void> {
    nursery.spawn("child", sleep_then(loop.clock, 1s, log, 1));
    co_await nursery.join();
    co_await loop.clock.sleep_for(1s);
    co_await asio::post(asio::use_awaitable);
    log.push_back(2);
  };
  Started started(loop, body());
  loop.advance(1s);
  started.cancel();
  loop.advance(2s);
  CHECK(started.failed());
  CHECK(log == std::vector<int>{1});
}

TEST_CASE("nursery: the caller of a cancelled join still knows that it was cancelled", "[base]") {
  TestLoop loop;
  Nursery nursery(loop.executor());
  bool unwound = false;
  bool known = false;
  const auto body = [&]() -> Awaitable<void> {
    nursery.spawn("child", sleep_and_note(loop.clock, unwound));
    try {
      co_await nursery.join();
    } catch (const std::exception&) {
      known = true;
    }
    const auto state = co_await asio::this_coro::cancellation_state;
    known = known && state.cancelled() != asio::cancellation_type::none;
  };
  Started started(loop, body());
  loop.poll();
  started.cancel();
  loop.poll();
  CHECK(unwound);
  CHECK(known);
}

TEST_CASE("nursery: what a child spawns while it unwinds is cancelled too", "[base]") {
  TestLoop loop;
  Nursery nursery(loop.executor());
  bool unwound = false;
  const auto spawner = [&]() -> Awaitable<void> {
    struct Late {
      Nursery& nursery;
      Clock& clock;
      bool& flag;
      ~Late() { nursery.spawn("late", sleep_and_note(clock, flag)); }
    };
    const Late late{nursery, loop.clock, unwound};
    co_await loop.clock.sleep_for(100s);
  };
  nursery.spawn("spawner", spawner());
  Started join(loop, nursery.join());
  loop.poll();
  join.cancel();
  loop.poll();
  CHECK(join.done());
  CHECK(nursery.live() == 0);
  CHECK(unwound);
}

TEST_CASE("shielded: the operation ends, then the cancellation counts", "[base]") {
  TestLoop loop;
  std::vector<int> log;
  const auto body = [&]() -> Awaitable<void> {
    co_await shielded(sleep_then(loop.clock, 1s, log, 1));
    co_await loop.clock.sleep_for(1s);
    log.push_back(2);
  };
  Started started(loop, body());
  loop.poll();
  started.cancel();
  loop.poll();
  CHECK_FALSE(started.done());
  loop.advance(1s);
  CHECK(log == std::vector<int>{1});
  CHECK(started.done());
  CHECK(started.failed());
}

namespace {

Awaitable<void> cancel_own(Nursery& nursery, Clock& clock, bool& went_on) {
  nursery.cancel();
  co_await clock.sleep_for(1s);
  went_on = true;
}

}  // namespace

TEST_CASE("nursery: a child may cancel its own nursery, before it first waits too", "[base]") {
  TestLoop loop;
  Nursery nursery(loop.executor());
  bool went_on = false;
  nursery.spawn("self", cancel_own(nursery, loop.clock, went_on));
  Started join(loop, nursery.join());
  loop.advance(2s);
  CHECK(join.done());
  CHECK_FALSE(went_on);
}

}  // namespace pn
