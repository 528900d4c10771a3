#include "node/poll_core.hpp"

#include "base/rng.hpp"
#include "base/time.hpp"

#include <algorithm>
#include <cstdint>
#include <optional>

namespace pn::node {
namespace {

/// Below this a server that says "I waited" did not: asking at once would be a tight loop.
constexpr Millis kRealWait{1'000};
/// A server that asks for hours would leave the node idle long after it is back.
constexpr Millis kLongestRetryAfter{600'000};
constexpr int kMostDoublings = 20;

}  // namespace

PollCore::PollCore(Millis min, Millis max, Rng& rng)
    : min_(min), max_(std::max(min, max)), rng_(rng) {}

Millis PollCore::after_work() {
  errors_ = 0;
  answered_ = true;
  return Millis(0);
}

Millis PollCore::after_nothing(Millis held, std::optional<Millis> retry_after) {
  errors_ = 0;
  answered_ = true;
  if (held >= kRealWait && !retry_after) return Millis(0);
  return pause(min_, max_, retry_after);
}

Millis PollCore::after_error(std::optional<Millis> retry_after) {
  errors_ = std::min(errors_ + 1, kMostDoublings);
  if (!answered_)
    return pause(min_, std::min(max_, min_ * (std::int64_t{1} << errors_)), retry_after);
  return pause(errors_ > 1 ? std::max(min_, max_ / 4) : min_, max_, retry_after);
}

Millis PollCore::pause(Millis low, Millis high, std::optional<Millis> retry_after) {
  const Millis asked = std::min(retry_after.value_or(Millis(0)), kLongestRetryAfter);
  if (asked < low) return uniform(rng_, low, high);
  return asked + uniform(rng_, Millis(0), high);
}

}  // namespace pn::node
