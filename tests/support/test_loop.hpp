#pragma once

#include "base/awaitable.hpp"
#include "tests/support/fake_clock.hpp"

#include <chrono>
#include <exception>
#include <functional>
#include <optional>
#include <utility>

#include <boost/asio/cancellation_signal.hpp>
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
  void poll();

  /// Moves time on, stopping at each sleeper that comes due, so that chains of sleeps run as they
  /// would.
  void advance(std::chrono::nanoseconds by);

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

  /// For code with real I/O: runs the real reactor until `reached`, and not past it; false when it
  /// is not within `limit`. What other threads and processes do is looked at every 5 ms.
  bool run_until(const std::function<bool()>& reached,
                 std::chrono::milliseconds limit = std::chrono::seconds(10));

 private:
  template <class T>
  static Awaitable<void> keep(Awaitable<T> op, std::optional<T>& out) {
    out.emplace(co_await std::move(op));
  }

  void run_void(Awaitable<void> op, std::chrono::seconds limit);
};

/// A coroutine started by a test, that can be cancelled and looked at.
class Started {
 public:
  Started(TestLoop& loop, Awaitable<void> op);
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
