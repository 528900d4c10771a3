#pragma once

#include "base/clock.hpp"

#include <memory>

namespace pn::testing {

/// Time that moves when told. Starts at 2026-11-20T10:00:00Z; both clocks move together unless
/// step_system() is called. Thread: one loop's.
class FakeClock final : public Clock {
 public:
  FakeClock();
  ~FakeClock() override;

  [[nodiscard]] SystemTime system_now() const override;
  [[nodiscard]] SteadyTime steady_now() const override;
  Awaitable<void> sleep_until(SteadyTime when) override;

  /// Moves on and wakes who is due; poll the loop to let them run. Sleepers that start a new sleep
  /// inside the step are not caught up: advance in steps where that matters, or use
  /// TestLoop::advance.
  void advance(std::chrono::nanoseconds by);
  /// The wall clock jumps; the monotonic one does not.
  void step_system(std::chrono::nanoseconds by);
  /// When the next sleeper is due; max() when nobody sleeps.
  [[nodiscard]] SteadyTime next_due() const;
  [[nodiscard]] std::size_t sleepers() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pn::testing
