#pragma once

#include "base/result.hpp"
#include "base/retry.hpp"
#include "base/rng.hpp"
#include "base/time.hpp"

#include <chrono>
#include <optional>

namespace pn::auth {

struct RegistrationPolicy {
  std::chrono::seconds interval{120};  ///< REGISTER_INTERVAL_SECS
  int max_retry = -1;                  ///< REGISTER_MAX_RETRY; -1: never start over
};

/// The pauses while DDS is away, for who registers and who signs in.
inline constexpr RetryPolicy kTransient{.first = Millis(2000), .max = Millis(60'000)};

/// What an attempt to register came to.
enum class RegisterAnswer {
  registered,
  held_elsewhere,  ///< 409: another live node holds this identity
  transient,       ///< 408, 429, 5xx, no connection, an answer that cannot be read
  refused,         ///< any other 4xx: wrong credentials or a wrong request
};
RegisterAnswer register_answer(const Result<void>& result);

/// When a node registers, as a pure state machine (the table of the wire description of DDS).
///
/// 1. Once registered, nothing is sent until rearm().
/// 2. Only transient failures are counted, in a row; after `max_retry` of them the interval is
///    waited and counting starts over.
/// 3. A refusal is never given up on: an operator may mend it on the server's side.
///
///   unregistered -> registered  [answered(registered)]
///   registered -> unregistered  [rearm]
///   unregistered -> unregistered, after a wait  [answered(anything else)]
class RegistrationCore {
 public:
  explicit RegistrationCore(RegistrationPolicy policy);

  struct Next {
    std::optional<Millis> wait;  ///< before the next attempt; nothing: none until rearm()
    bool warn = false;           ///< tell the operator now (refusals: at most every 180 s)
  };
  /// `after` is what the server asked for (Retry-After).
  Next answered(RegisterAnswer answer, std::optional<Millis> after, SteadyTime now, Rng& rng);
  void rearm();

  [[nodiscard]] bool registered() const { return registered_; }

 private:
  bool warn_now(SteadyTime now);

  RegistrationPolicy policy_;
  Backoff backoff_;
  std::optional<SteadyTime> warned_at_;
  bool registered_ = false;
};

}  // namespace pn::auth
