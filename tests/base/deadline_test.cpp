#include "base/deadline.hpp"

#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/event.hpp"
#include "base/result.hpp"
#include "tests/support/test_loop.hpp"

#include <chrono>
#include <optional>
#include <stdexcept>
#include <utility>

#include <catch2/catch.hpp>

namespace pn {
namespace {

using namespace std::chrono_literals;
using testing::Started;
using testing::TestLoop;

Awaitable<Result<int>> answer_after(Clock& clock, std::chrono::seconds after) {
  co_await clock.sleep_for(after);
  co_return 42;
}

Awaitable<Result<int>> throw_after(Clock& clock, std::chrono::seconds after) {
  co_await clock.sleep_for(after);
  throw std::runtime_error("broken");
}

Awaitable<void> into(Awaitable<Result<int>> op, std::optional<Result<int>>& out) {
  out.emplace(co_await std::move(op));
}

}  // namespace

TEST_CASE("with_deadline: an operation in time answers its own result", "[base]") {
  TestLoop loop;
  std::optional<Result<int>> out;
  Started started(
      loop,
      into(with_deadline(loop.clock, Deadline::in(loop.clock, 5s), answer_after(loop.clock, 1s)),
           out));
  loop.advance(1s);
  REQUIRE(out);
  CHECK(out->value() == 42);
  CHECK(loop.clock.sleepers() == 0);
}

TEST_CASE("with_deadline: the deadline unwinds the operation", "[base]") {
  TestLoop loop;
  std::optional<Result<int>> out;
  Started started(
      loop,
      into(with_deadline(loop.clock, Deadline::in(loop.clock, 5s), answer_after(loop.clock, 60s)),
           out));
  loop.advance(4s);
  CHECK_FALSE(out);
  loop.advance(1s);
  REQUIRE(out);
  REQUIRE_FALSE(out->ok());
  CHECK(out->error().code == "deadline");
  CHECK(loop.clock.sleepers() == 0);
}

TEST_CASE("with_deadline: what the operation throws comes through at once", "[base]") {
  TestLoop loop;
  std::optional<Result<int>> out;
  Started started(
      loop,
      into(with_deadline(loop.clock, Deadline::in(loop.clock, 500s), throw_after(loop.clock, 1s)),
           out));
  loop.advance(1s);
  REQUIRE(started.done());
  CHECK_THROWS_WITH(started.rethrow(), "broken");
}

TEST_CASE("with_deadline: cancellation of the caller ends both", "[base]") {
  TestLoop loop;
  std::optional<Result<int>> out;
  Started started(
      loop,
      into(with_deadline(loop.clock, Deadline::in(loop.clock, 5s), answer_after(loop.clock, 60s)),
           out));
  loop.poll();
  started.cancel();
  loop.poll();
  CHECK(started.done());
  CHECK(started.failed());
  CHECK_FALSE(out);
  CHECK(loop.clock.sleepers() == 0);
}

TEST_CASE("event: set before wait, several sets are one, deadline comes first", "[base]") {
  TestLoop loop;
  Event event(loop.executor());
  int woken = 0;
  int late = 0;
  const auto waiter = [&]() -> Awaitable<void> {
    for (;;) {
      const bool set = co_await event.wait_until(loop.clock, Deadline::in(loop.clock, 10s));
      (set ? woken : late) += 1;
    }
  };
  event.set();
  event.set();
  Started started(loop, waiter());
  loop.poll();
  CHECK(woken == 1);
  loop.advance(10s);
  CHECK(late == 1);
  event.set();
  loop.poll();
  CHECK(woken == 2);
  started.cancel();
  loop.poll();
  CHECK(started.done());
}

}  // namespace pn
