#pragma once

#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/nursery.hpp"
#include "base/result.hpp"

#include <optional>
#include <utility>

namespace pn {

/// The latest moment at which something may still run. Unreachable by default; children only
/// shorten it.
class Deadline {
 public:
  Deadline() = default;
  explicit Deadline(SteadyTime at) : at_(at) {}
  static Deadline in(const Clock& clock, std::chrono::nanoseconds duration) {
    return Deadline(clock.steady_now() +
                    std::chrono::duration_cast<SteadyTime::duration>(duration));
  }

  [[nodiscard]] bool reachable() const { return at_ != SteadyTime::max(); }
  [[nodiscard]] SteadyTime at() const { return at_; }
  [[nodiscard]] bool passed(const Clock& clock) const { return clock.steady_now() >= at_; }
  [[nodiscard]] Deadline sooner(Deadline other) const { return other.at_ < at_ ? other : *this; }
  /// Zero when passed; nothing when unreachable.
  [[nodiscard]] std::optional<Millis> remaining(const Clock& clock) const;

  friend bool operator==(const Deadline&, const Deadline&) = default;

 private:
  SteadyTime at_ = SteadyTime::max();
};

namespace detail {
/// Runs `op` against the clock. False when the deadline ended it. Rethrows what `op` threw, and
/// cancellation.
Awaitable<bool> race(Clock& clock, Deadline deadline, Awaitable<void> op);
}  // namespace detail

/// The kind-`retry` error ("deadline") that with_deadline answers.
Error deadline_error();

/// Awaits `op` until `deadline`; past it, `op` is cancelled, unwound, and the answer is
/// deadline_error(). The only timer race of the tree: Asio's `op || timer` waits out the timer when
/// `op` throws, and hides the exception.
template <class T>
Awaitable<Result<T>> with_deadline(Clock& clock, Deadline deadline, Awaitable<Result<T>> op) {
  std::optional<Result<T>> out;
  Awaitable<void> stored = detail::keep<Result<T>>(std::move(op), out);
  co_await detail::race(clock, deadline, std::move(stored));
  if (out) co_return std::move(*out);  // also when it finished while it was being cancelled
  co_return deadline_error();
}

}  // namespace pn
