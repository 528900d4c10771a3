#pragma once

#include "base/awaitable.hpp"
#include "base/time.hpp"

namespace pn {

/// The only source of time. Real: SystemClock; tests: FakeClock, which moves when told.
class Clock {
 public:
  virtual ~Clock() = default;
  /// The wall clock: for what is compared with a peer's times. It may jump.
  [[nodiscard]] virtual SystemTime system_now() const = 0;
  /// The monotonic clock: for every duration, deadline and fence.
  [[nodiscard]] virtual SteadyTime steady_now() const = 0;
  /// Resumes on the caller's executor at `when`, at once if that has passed. Cancellation ends it
  /// with operation_aborted.
  virtual Awaitable<void> sleep_until(SteadyTime when) = 0;

  Awaitable<void> sleep_for(std::chrono::nanoseconds duration) {
    return sleep_until(steady_now() + std::chrono::duration_cast<SteadyTime::duration>(duration));
  }
};

}  // namespace pn
