#include "node/lease_core.hpp"

#include "base/retry.hpp"
#include "base/rng.hpp"
#include "base/time.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>

namespace pn::node {
namespace {

constexpr Millis kLongestTry{10'000};
constexpr Millis kShortestTry{50};
/// No try is cut shorter than this by a near fence.
constexpr Millis kLastTry{250};
constexpr Millis kShortestPause{20};
constexpr Millis kLeastMargin{1'000};
/// What an accepted beat is taken to have brought when the server's times make no sense to us.
constexpr Millis kAssumedTtl{30'000};
/// The pause between beats then, instead of a tight loop.
constexpr Millis kConfusedPause{1'000};
constexpr Millis kLongestAfter{60'000};

Millis scaled(Millis duration, double factor) {
  return Millis(static_cast<std::int64_t>(static_cast<double>(duration.count()) * factor));
}

RetryPolicy retry_policy(std::optional<Millis> ttl) {
  const Millis length = ttl.value_or(kAssumedTtl);
  return {.first = std::clamp(length / 60, Millis(50), Millis(500)),
          .max = std::clamp(length / 10, Millis(100), Millis(5'000)),
          .factor = 2.0,
          .jitter_low = 0.5,
          .jitter_high = 1.0,
          .tries = 0};
}

}  // namespace

LeaseCore::LeaseCore(LeasePolicy policy, Rng& rng)
    : policy_(policy), rng_(rng), backoff_(retry_policy(std::nullopt)) {}

void LeaseCore::granted(SteadyTime sent, SteadyTime now, std::optional<Millis> remaining) {
  by_time_ = now;
  if (!remaining) return;
  if (sent + *remaining > now) {
    set_end(sent + *remaining, now);
  } else {
    // Over before we have it: the server's clock is not the one we think, and only the first beat
    // can tell.
    fence_ = now + kAssumedTtl;
  }
  by_time_ = now;
  backoff_ = Backoff(retry_policy(ttl_));
}

void LeaseCore::sending() { by_change_ = SteadyTime::max(); }

void LeaseCore::accepted(SteadyTime sent, SteadyTime now, std::optional<Millis> remaining) {
  retry_at_.reset();
  by_time_ = SteadyTime::max();
  const bool over = remaining && remaining->count() <= 0;
  const bool never_made_sense = !remaining && !ttl_ && fence_ != SteadyTime::max();
  if (over || never_made_sense) {
    // The server took the beat, and its times still make no sense: count from what it did.
    fence_ = sent + ttl_.value_or(kAssumedTtl);
    by_time_ = now + kConfusedPause;
  } else if (remaining) {
    set_end(sent + *remaining, now);
  } else if (ttl_) {
    // Its length stays what the server named, not what was left of it when the answer came: else
    // each beat would shorten the lease by a round trip.
    const Millis length = *ttl_;
    set_end(sent + length, now);
    ttl_ = length;
  }
  backoff_ = Backoff(retry_policy(ttl_));
}

void LeaseCore::failed(SteadyTime now, std::optional<Millis> after) {
  Millis pause = backoff_.next(rng_, after).value_or(kLongestAfter);
  if (fence_ == SteadyTime::max()) {
    pause = std::min(pause, kLongestAfter);
  } else {
    // Whatever the back-off or the server says: half of the time that is left leaves time for more
    // tries, so that an outage that ends just before the fence costs nothing.
    const Millis half = std::chrono::duration_cast<Millis>((fence_ - now) / 2);
    pause = std::min(pause, std::max(half, kShortestPause));
  }
  retry_at_ = now + pause;
}

void LeaseCore::changed(SteadyTime now) {
  if (by_change_ == SteadyTime::max()) {
    by_change_ = now + uniform(rng_, Millis(0), policy_.jitter);
  }
}

SteadyTime LeaseCore::next_beat() const {
  return retry_at_ ? *retry_at_ : std::min(by_time_, by_change_);
}

Millis LeaseCore::try_timeout() const {
  if (policy_.try_timeout) return *policy_.try_timeout;
  if (!ttl_) return kLongestTry;
  return std::clamp(scaled(*ttl_, 0.1), kShortestTry, kLongestTry);
}

SteadyTime LeaseCore::try_until(SteadyTime now) const {
  const SteadyTime by_timeout = now + try_timeout();
  if (fence_ == SteadyTime::max()) return by_timeout;
  const SteadyTime by_half = now + std::max<SteadyTime::duration>((fence_ - now) / 2, kLastTry);
  return std::min({by_timeout, by_half, fence_});
}

void LeaseCore::set_end(SteadyTime end, SteadyTime now) {
  const Millis left = std::chrono::duration_cast<Millis>(end - now);
  if (left.count() <= 0) {
    // The answer came after the end that it names: too late for us, whatever it says.
    fence_ = end;
    by_time_ = now;
    return;
  }
  ttl_ = left;
  const Millis wanted = policy_.fence_margin.value_or(std::max(scaled(left, 0.15), kLeastMargin));
  fence_ = end - std::min(wanted, left / 2);
  by_time_ = now + scaled(left, uniform(rng_, policy_.min_ratio, policy_.max_ratio));
}

}  // namespace pn::node
