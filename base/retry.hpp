#pragma once

#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/deadline.hpp"
#include "base/result.hpp"
#include "base/rng.hpp"

#include <chrono>
#include <functional>
#include <optional>
#include <utility>

namespace pn {

/// How long to wait between tries: `first`, then × `factor` up to `max`, each times a random factor
/// in [jitter_low, jitter_high]. `tries` counts the first one too; 0 means until the deadline.
struct RetryPolicy {
  Millis first{500};
  Millis max{30'000};
  double factor = 2.0;
  double jitter_low = 0.8;
  double jitter_high = 1.2;
  int tries = 0;
};

/// The pauses of one policy. Pure; the caller sleeps.
class Backoff {
 public:
  explicit Backoff(RetryPolicy policy) : policy_(policy), next_(policy.first) {}

  /// The pause before the next try, or nothing when the tries are used up. What the server asked
  /// for (`after`) wins when it is longer.
  std::optional<Millis> next(Rng& rng, std::optional<Millis> after);
  void reset();
  [[nodiscard]] int failures() const { return failures_; }

 private:
  RetryPolicy policy_;
  Millis next_;
  int failures_ = 0;
};

/// Calls `op` until it succeeds, fails with another kind than `retry`, uses up its tries, or a
/// pause would pass the deadline; then answers the last error.
template <class T>
Awaitable<Result<T>> retry(Clock& clock,
                           Rng& rng,
                           RetryPolicy policy,
                           Deadline deadline,
                           std::function<Awaitable<Result<T>>()> op) {
  Backoff backoff(policy);
  for (;;) {
    Awaitable<Result<T>> attempt = op();
    Result<T> result = co_await with_deadline<T>(clock, deadline, std::move(attempt));
    if (result.ok() || result.error().kind != ErrorKind::retry) co_return result;
    const std::optional<Millis> pause = backoff.next(rng, result.error().after);
    if (!pause || clock.steady_now() + *pause >= deadline.at()) co_return result;
    co_await clock.sleep_for(*pause);
  }
}

}  // namespace pn
