#pragma once

#include "base/retry.hpp"
#include "base/rng.hpp"
#include "base/time.hpp"

#include <optional>

namespace pn::node {

/// The settings that a lease is kept by.
struct LeasePolicy {
  double min_ratio = 0.25;
  double max_ratio = 0.35;
  Millis jitter{250};
  std::optional<Millis> try_timeout;   ///< nothing: min(lease time x 0.1, 10 s)
  std::optional<Millis> fence_margin;  ///< nothing: max(lease time x 0.15, 1 s)
};

/// When to beat, how long to wait for an answer, and when to let go. Knows no sockets and no clock:
/// the caller says what time it is. Pure but for the Rng.
///
/// Invariants
/// 1. The lease ends, for us, at the latest at what the server named, counted by the monotonic
///    clock from when the request that brought the news was sent (the server's begins later).
/// 2. fence() comes before that end by the margin, but never by more than half of the lease time.
/// 3. Without a time named by the server there is neither a fence nor a time-driven beat.
/// 4. A failed beat never moves the fence; only accepted() and granted() do.
/// 5. After a failure only the retry is due: changes do not make it sooner.
///
///             granted()                        accepted()
///   (new) ───────────────▶ due at once ──────────────────────▶ due by time or change ◀─┐
///                               │  ▲                              │        │           │
///                               │  └──────── retry due ◀──────────┘ failed()           │
///                               └─── fence() passed: the caller ends the lease         │
///                                              changed(): due within the jitter ───────┘
class LeaseCore {
 public:
  LeaseCore(LeasePolicy policy, Rng& rng);

  /// The claim's answer: `remaining` is what was left of the lease when the claim was sent. The
  /// first beat is due at once.
  void granted(SteadyTime sent, SteadyTime now, std::optional<Millis> remaining);

  /// A beat goes out: what has changed until now is in it.
  void sending();
  /// It was accepted. Without a time in the answer the lease is extended by its length, because an
  /// accepted beat extends it (wire.md).
  void accepted(SteadyTime sent, SteadyTime now, std::optional<Millis> remaining);
  /// It failed in a way that proves nothing about the lease.
  void failed(SteadyTime now, std::optional<Millis> after);
  /// There is progress or an event to tell.
  void changed(SteadyTime now);
  /// The next beat is wanted now; after a failure, with the retry.
  void hurry(SteadyTime now) { by_change_ = now; }

  /// When the next beat is due; max() when nothing is.
  [[nodiscard]] SteadyTime next_beat() const;
  /// From here on the lease is not ours to write under; max() when no end is known.
  [[nodiscard]] SteadyTime fence() const { return fence_; }
  [[nodiscard]] Millis try_timeout() const;
  /// When a try that begins now is given up: after the time-out, but by half of what is left until
  /// the fence, so that one hanging request does not eat the last chances.
  [[nodiscard]] SteadyTime try_until(SteadyTime now) const;
  /// The lease's length as last seen; nothing when never named.
  [[nodiscard]] std::optional<Millis> ttl() const { return ttl_; }
  [[nodiscard]] int failures() const { return backoff_.failures(); }

 private:
  void set_end(SteadyTime end, SteadyTime now);

  LeasePolicy policy_;
  Rng& rng_;
  Backoff backoff_;
  std::optional<Millis> ttl_;
  SteadyTime fence_ = SteadyTime::max();
  SteadyTime by_time_ = SteadyTime::max();
  SteadyTime by_change_ = SteadyTime::max();
  std::optional<SteadyTime> retry_at_;
};

}  // namespace pn::node
