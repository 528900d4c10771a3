#pragma once

#include "base/time.hpp"

#include <optional>

namespace pn::node {

/// Keeps a capability from being leased that fails whatever it is given. Knows no clock: the caller
/// says what time it is. Pure.
///
/// Invariants
/// 1. Only quick failures open it: `failures` in a row, each within `window` of its lease. One that
///    worked, or took its time to fail, starts the count anew; one that ended for other reasons
///    (shutdown, canceled, lost) says nothing.
/// 2. Open, it lets one lease through a window: the probe. The window doubles with each probe that
///    fails quickly, up to an hour (or `window`, when that is longer).
/// 3. Whatever works closes it; so does a probe that has run for `window`, for it fails not
/// quickly.
///
///   closed ──quick failure x failures──▶ open ──window over, leased()──▶ probing
///     ▲                                   ▲                                │ │
///     │                                   └───────── quick failure ────────┘ │
///     └──────────────── worked, slow failure, or still running ──────────────┘
class BreakerCore {
 public:
  enum class Ticket { plain, probe };
  enum class Fate { worked, failed, other };
  enum class Change { none, opened, closed };

  /// `failures` 0: never opens.
  BreakerCore(int failures, Millis window) : failures_(failures), window_(window), pause_(window) {}

  /// Time passes: closes when the probe has run long enough.
  Change look(SteadyTime now);
  [[nodiscard]] bool may_lease(SteadyTime now) const;
  /// A lease came, asked for or not.
  Ticket leased(SteadyTime now);
  Change ended(Ticket ticket, Fate fate, SteadyTime leased_at, SteadyTime now);

  [[nodiscard]] bool open() const { return next_.has_value(); }
  /// When the next lease may be asked for; nothing when closed, or while a probe runs.
  [[nodiscard]] std::optional<SteadyTime> next_probe() const;
  [[nodiscard]] int in_a_row() const { return in_a_row_; }

 private:
  Change close();

  int failures_;
  Millis window_;
  Millis pause_;
  int in_a_row_ = 0;
  std::optional<SteadyTime> next_;      // open: when the next probe may go
  std::optional<SteadyTime> probe_at_;  // a probe runs since
};

}  // namespace pn::node
