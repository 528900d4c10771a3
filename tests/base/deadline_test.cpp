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

/// An operation that a deadline ends, on virtual time.
struct Limited {
  TestLoop loop;
  std::optional<Result<int>> out;
  std::optional<Started> started;

  void start(std::chrono::seconds limit, Awaitable<Result<int>> op) {
    const Deadline deadline = Deadline::in(loop.clock, limit);
    started.emplace(loop, into(with_deadline(loop.clock, deadline, std::move(op)), out));
  }
};

}  // namespace

TEST_CASE("with_deadline: an operation in time answers its own result", "[base]") {
  Limited f;
  f.start(5s, answer_after(f.loop.clock, 1s));
  f.loop.advance(1s);
  REQUIRE(f.out);
  CHECK(f.out->value() == 42);
  CHECK(f.loop.clock.sleepers() == 0);
}

TEST_CASE("with_deadline: the deadline unwinds the operation", "[base]") {
  Limited f;
  f.start(5s, answer_after(f.loop.clock, 60s));
  f.loop.advance(4s);
  CHECK_FALSE(f.out);
  f.loop.advance(1s);
  REQUIRE(f.out);
  REQUIRE_FALSE(f.out->ok());
  CHECK(f.out->error().code == "deadline");
  CHECK(f.loop.clock.sleepers() == 0);
}

TEST_CASE("with_deadline: what the operation throws comes through at once", "[base]") {
  Limited f;
  f.start(500s, throw_after(f.loop.clock, 1s));
  f.loop.advance(1s);
  REQUIRE(f.started->done());
  CHECK_THROWS_WITH(f.started->rethrow(), "broken");
}

TEST_CASE("with_deadline: cancellation of the caller ends both", "[base]") {
  Limited f;
  f.start(5s, answer_after(f.loop.clock, 60s));
  f.loop.poll();
  f.started->cancel();
  f.loop.poll();
  CHECK(f.started->done());
  CHECK(f.started->failed());
  CHECK_FALSE(f.out);
  CHECK(f.loop.clock.sleepers() == 0);
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
