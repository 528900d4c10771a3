#include "base/offload.hpp"

#include "base/awaitable.hpp"
#include "base/nursery.hpp"
#include "tests/support/test_loop.hpp"

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>

#include <boost/asio/this_coro.hpp>
#include <boost/system/system_error.hpp>
#include <catch2/catch.hpp>

namespace pn {
namespace {
using testing::TestLoop;
}

TEST_CASE("offload: runs on the pool, resumes on the loop", "[base][mt]") {
  TestLoop loop;
  ThreadPool pool("test", 2);
  const auto here = std::this_thread::get_id();
  const auto body = [&]() -> Awaitable<int> {
    const auto work = [&] {
      CHECK(std::this_thread::get_id() != here);
      return 7;
    };
    const int got = co_await offload(pool, work);
    CHECK(std::this_thread::get_id() == here);
    co_return got;
  };
  CHECK(loop.run(body()) == 7);
}

TEST_CASE("offload: rethrows on the loop", "[base][mt]") {
  TestLoop loop;
  ThreadPool pool("test", 1);
  const auto body = [&]() -> Awaitable<void> {
    const auto work = [] { throw std::runtime_error("worker failed"); };
    co_await offload(pool, work);
  };
  CHECK_THROWS_WITH(loop.run(body()), "worker failed");
}

TEST_CASE("offload: cancellation waits for the worker", "[base][mt]") {
  TestLoop loop;
  ThreadPool pool("test", 1);
  std::atomic<bool> go{false};
  std::atomic<bool> worked{false};
  const auto body = [&]() -> Awaitable<void> {
    const auto work = [&] {
      while (!go) std::this_thread::yield();
      worked = true;
    };
    co_await offload(pool, work);
    co_await loop.clock.sleep_for(std::chrono::seconds(1));
  };
  testing::Started started(loop, body());
  loop.poll();
  started.cancel();
  loop.poll();
  CHECK_FALSE(started.done());
  go = true;
  loop.context.restart();
  while (!started.done() && loop.context.run_one() > 0) {
  }
  CHECK(worked);
  CHECK(started.done());
  CHECK(started.failed());
}

TEST_CASE("run_on: what ends while it is cancelled leaves nothing behind", "[base][mt]") {
  TestLoop loop;
  ThreadPool there("test", 1);
  std::atomic<bool> go{false};
  const auto soon = [&]() -> Awaitable<void> {
    while (!go) std::this_thread::yield();
    co_return;
  };
  for (int i = 0; i < 3000; ++i) {
    go = false;
    testing::Started started(loop, run_on(there.executor(), soon()));
    loop.poll();
    go = true;
    started.cancel();
    loop.context.restart();
    while (!started.done() && loop.context.run_one() > 0) {
    }
    REQUIRE(started.done());
  }
}

TEST_CASE("offload: stoppable work answers when nobody stops it", "[base][mt]") {
  TestLoop loop;
  ThreadPool pool("test", 1);
  const auto body = [&]() -> Awaitable<int> {
    const auto work = [](const std::atomic<bool>& stop) { return stop ? 0 : 7; };
    const int got = co_await offload_stoppable(pool, work);
    const auto nothing = [](const std::atomic<bool>&) {};
    co_await offload_stoppable(pool, nothing);
    const auto fails = [](const std::atomic<bool>&) { throw std::runtime_error("worker failed"); };
    CHECK_THROWS_WITH(co_await offload_stoppable(pool, fails), "worker failed");
    co_return got;
  };
  CHECK(loop.run(body()) == 7);
}

TEST_CASE("offload: cancellation stops stoppable work, then is thrown", "[base][mt]") {
  TestLoop loop;
  ThreadPool pool("test", 1);
  const bool throws = GENERATE(true, false);  // some callers look for themselves
  std::atomic<bool> working{false};
  bool answered = false;
  const auto body = [&]() -> Awaitable<void> {
    co_await asio::this_coro::throw_if_cancelled(throws);
    const auto work = [&](const std::atomic<bool>& stop) {
      working = true;
      while (!stop) std::this_thread::yield();
      return 7;
    };
    co_await offload_stoppable(pool, work);
    answered = true;
  };
  testing::Started started(loop, body());
  loop.poll();
  while (!working) std::this_thread::yield();
  started.cancel();
  loop.context.restart();
  while (!started.done() && loop.context.run_one() > 0) {
  }
  CHECK(started.done());
  CHECK(started.failed());
  CHECK_FALSE(answered);
}

TEST_CASE("offload: who was cancelled before is stopped too", "[base][mt]") {
  TestLoop loop;
  ThreadPool pool("test", 1);
  bool stopped = false;
  const auto body = [&]() -> Awaitable<void> {
    co_await asio::this_coro::throw_if_cancelled(false);
    try {
      co_await loop.clock.sleep_for(std::chrono::hours(1));
    } catch (const boost::system::system_error&) {
      stopped = false;  // latched; this caller looks for itself
    }
    const auto work = [&](const std::atomic<bool>& stop) { stopped = stop; };
    co_await offload_stoppable(pool, work);
  };
  testing::Started started(loop, body());
  loop.poll();
  started.cancel();
  loop.context.restart();
  while (!started.done() && loop.context.run_one() > 0) {
  }
  CHECK(stopped);
  CHECK(started.failed());
}

TEST_CASE("offload: what is shielded is not stopped", "[base][mt]") {
  TestLoop loop;
  ThreadPool pool("test", 1);
  std::atomic<bool> working{false};
  std::atomic<bool> go{false};
  bool whole = false;
  const auto guarded = [&]() -> Awaitable<void> {
    const auto work = [&](const std::atomic<bool>& stop) {
      working = true;
      while (!go) std::this_thread::yield();
      return !stop;
    };
    whole = co_await offload_stoppable(pool, work);
  };
  testing::Started started(loop, shielded(guarded()));
  loop.poll();
  while (!working) std::this_thread::yield();
  started.cancel();
  loop.poll();
  go = true;
  loop.context.restart();
  while (!started.done() && loop.context.run_one() > 0) {
  }
  CHECK(whole);
}

}  // namespace pn
