#pragma once

#include "base/clock.hpp"

namespace pn {

/// The machine's clocks. Has no state: one may serve every loop.
class SystemClock final : public Clock {
 public:
  [[nodiscard]] SystemTime system_now() const override;
  [[nodiscard]] SteadyTime steady_now() const override;
  Awaitable<void> sleep_until(SteadyTime when) override;
};

}  // namespace pn
