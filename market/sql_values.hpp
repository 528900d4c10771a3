#pragma once

#include "base/time.hpp"

#include <chrono>

namespace pn::market {

// How values stand in the columns (schema.hpp).

/// Milliseconds since 1970. `long long` is the one 64-bit type that SOCI binds everywhere.
inline long long to_ms(SystemTime time) {
  return std::chrono::floor<Millis>(time.time_since_epoch()).count();
}
inline SystemTime from_ms(long long ms) { return SystemTime(Millis(ms)); }

}  // namespace pn::market
