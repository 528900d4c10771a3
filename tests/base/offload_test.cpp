#include "base/offload.hpp"

#include "base/awaitable.hpp"
#include "tests/support/test_loop.hpp"

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>

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

}  // namespace pn
