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

Millis at_least(Millis pause, std::optional<Millis> retry_after) {
  return std::max(pause, std::min(retry_after.value_or(Millis(0)), kLongestRetryAfter));
}

}  // namespace

PollCore::PollCore(Millis min, Millis max, Rng& rng) : min_(min), max_(max), rng_(rng) {}

Millis PollCore::after_work() {
  errors_ = 0;
  return Millis(0);
}

Millis PollCore::after_nothing(Millis held, std::optional<Millis> retry_after) {
  errors_ = 0;
  const Millis pause = held >= kRealWait ? Millis(0) : uniform(rng_, min_, max_);
  return at_least(pause, retry_after);
}

Millis PollCore::after_error(std::optional<Millis> retry_after) {
  errors_ = std::min(errors_ + 1, kMostDoublings);
  const Millis limit = std::min(max_, min_ * (std::int64_t{1} << errors_));
  return at_least(uniform(rng_, min_, limit), retry_after);
}

}  // namespace pn::node
