#pragma once

#include "base/awaitable.hpp"
#include "tests/support/fake_clock.hpp"

#include <chrono>
#include <exception>
#include <optional>
#include <stdexcept>
#include <utility>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

namespace pn::testing {

/// One loop and its virtual clock. Nothing sleeps: poll() runs what is ready, advance() moves time
/// and polls.
class TestLoop {
 public:
  asio::io_context context;
  FakeClock clock;

  Executor executor() { return context.get_executor(); }

  /// Runs everything that is ready.
  void poll() {
    context.restart();
    context.poll();
  }

  /// Moves time on, stopping at each sleeper that comes due, so that chains of sleeps run as they
  /// would.
  void advance(std::chrono::nanoseconds by) {
    const SteadyTime end = clock.steady_now() + by;
    poll();
    while (clock.next_due() <= end) {
      clock.advance(clock.next_due() - clock.steady_now());
      poll();
    }
    clock.advance(end - clock.steady_now());
    poll();
  }

  /// For code with real I/O: runs `op` to its end on the real reactor and answers its result.
  /// Throws what it threw, and when it takes longer than `limit`.
  template <class T>
  T run(Awaitable<T> op, std::chrono::seconds limit = std::chrono::seconds(20)) {
    std::optional<T> out;
    run_void(keep(std::move(op), out), limit);
    return std::move(*out);
  }
  void run(Awaitable<void> op, std::chrono::seconds limit = std::chrono::seconds(20)) {
    run_void(std::move(op), limit);
  }

 private:
  template <class T>
  static Awaitable<void> keep(Awaitable<T> op, std::optional<T>& out) {
    out.emplace(co_await std::move(op));
  }

  void run_void(Awaitable<void> op, std::chrono::seconds limit) {
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
};

/// A coroutine started by a test, that can be cancelled and looked at.
class Started {
 public:
  Started(TestLoop& loop, Awaitable<void> op) {
    asio::co_spawn(
        loop.context,
        std::move(op),
        asio::bind_cancellation_slot(signal_.slot(), [this](const std::exception_ptr& e) {
          failure_ = e;
          done_ = true;
        }));
  }
  Started(const Started&) = delete;
  Started& operator=(const Started&) = delete;

  void cancel() { signal_.emit(asio::cancellation_type::terminal); }
  [[nodiscard]] bool done() const { return done_; }
  [[nodiscard]] bool failed() const { return failure_ != nullptr; }
  void rethrow() const {
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  asio::cancellation_signal signal_;
  std::exception_ptr failure_;
  bool done_ = false;
};

}  // namespace pn::testing
