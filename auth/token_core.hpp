#pragma once

#include "base/rng.hpp"
#include "base/time.hpp"

namespace pn::auth {

struct TokenPolicy {
  double safety_ratio = 0.75;  ///< TOKEN_SAFETY_RATIO
  int max_retries = 3;         ///< TOKEN_REAUTH_MAX_RETRIES: tries of one login after the first
  Millis jitter{500};          ///< TOKEN_REAUTH_JITTER_MS
};

/// When a token is renewed and when it ends, on the monotonic clock.
struct TokenTimes {
  SteadyTime renew_at;
  SteadyTime expires_at;

  friend bool operator==(const TokenTimes&, const TokenTimes&) = default;
};

/// `asked_at + ttl * ratio`, moved by up to `jitter` either way; never past the expiry, and never
/// so soon that a server with very short tokens would be asked without a pause. A `ttl` of more
/// than a year counts as one.
TokenTimes token_times(SteadyTime asked_at, Millis ttl, const TokenPolicy& policy, Rng& rng);

}  // namespace pn::auth
