#pragma once

#include "base/awaitable.hpp"
#include "base/clock.hpp"

#include <chrono>
#include <stdexcept>
#include <vector>

namespace pn::testing {

/// A child that takes its time, then leaves its mark.
inline Awaitable<void> sleep_then(Clock& clock,
                                  std::chrono::seconds after,
                                  std::vector<int>& log,
                                  int mark) {
  co_await clock.sleep_for(after);
  log.push_back(mark);
}

inline Awaitable<void> fail_after(Clock& clock, std::chrono::seconds after) {
  co_await clock.sleep_for(after);
  throw std::runtime_error("child failed");
}

}  // namespace pn::testing
