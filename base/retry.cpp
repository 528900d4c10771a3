#include "base/retry.hpp"

#include "base/rng.hpp"
#include "base/time.hpp"

#include <algorithm>
#include <cstdint>
#include <optional>

namespace pn {

std::optional<Millis> Backoff::next(Rng& rng, std::optional<Millis> after) {
  ++failures_;
  if (policy_.tries > 0 && failures_ >= policy_.tries) return std::nullopt;
  const double factor = uniform(rng, policy_.jitter_low, policy_.jitter_high);
  const Millis pause(static_cast<std::int64_t>(static_cast<double>(next_.count()) * factor));
  const Millis grown(
      static_cast<std::int64_t>(static_cast<double>(next_.count()) * policy_.factor));
  next_ = std::min(grown, policy_.max);
  return std::max(pause, after.value_or(Millis{0}));
}

void Backoff::reset() {
  next_ = policy_.first;
  failures_ = 0;
}

}  // namespace pn
