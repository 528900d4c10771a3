#include "auth/token_core.hpp"

#include "base/rng.hpp"
#include "base/time.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace pn::auth {

namespace {

/// "Never expires" is written as the year 9999, which the clock's nanoseconds do not reach.
constexpr std::chrono::hours kLongest{365 * 24};

}  // namespace

TokenTimes token_times(SteadyTime asked_at, Millis ttl, const TokenPolicy& policy, Rng& rng) {
  ttl = std::min<Millis>(ttl, kLongest);
  const Millis share(
      static_cast<std::int64_t>(static_cast<double>(ttl.count()) * policy.safety_ratio));
  const Millis moved = share + uniform(rng, Millis(0), 2 * policy.jitter) - policy.jitter;
  const Millis soonest = std::min<Millis>(ttl / 2, std::chrono::seconds(1));
  const Millis pause = std::clamp(moved, soonest, ttl);
  return {.renew_at = asked_at + pause, .expires_at = asked_at + ttl};
}

}  // namespace pn::auth
