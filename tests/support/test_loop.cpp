#include "tests/support/test_loop.hpp"

#include "base/awaitable.hpp"
#include "base/time.hpp"

#include <chrono>
#include <exception>
#include <functional>
#include <stdexcept>
#include <utility>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>

namespace pn::testing {

void TestLoop::poll() {
  context.restart();
  context.poll();
}

void TestLoop::advance(std::chrono::nanoseconds by) {
  const SteadyTime end = clock.steady_now() + by;
  poll();
  while (clock.next_due() <= end) {
    clock.advance(clock.next_due() - clock.steady_now());
    poll();
  }
  clock.advance(end - clock.steady_now());
  poll();
}

bool TestLoop::run_until(const std::function<bool()>& reached, std::chrono::milliseconds limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!reached()) {
    if (std::chrono::steady_clock::now() >= end) return false;
    context.restart();
    context.run_one_for(std::chrono::milliseconds(5));
  }
  return true;
}

void TestLoop::run_void(Awaitable<void> op, std::chrono::seconds limit) {
  bool done = false;
  std::exception_ptr failure;
  asio::co_spawn(context, std::move(op), [&](const std::exception_ptr& e) {
    failure = e;
    done = true;
  });
  const auto end = std::chrono::steady_clock::now() + limit;
  context.restart();
  while (!done && std::chrono::steady_clock::now() < end) {
    if (context.run_one_until(end) == 0 && context.stopped()) break;
  }
  if (!done) throw std::runtime_error("the operation did not end in time");
  if (failure) std::rethrow_exception(failure);
}

Started::Started(TestLoop& loop, Awaitable<void> op) {
  asio::co_spawn(loop.context,
                 std::move(op),
                 asio::bind_cancellation_slot(signal_.slot(), [this](const std::exception_ptr& e) {
                   failure_ = e;
                   done_ = true;
                 }));
}

}  // namespace pn::testing
