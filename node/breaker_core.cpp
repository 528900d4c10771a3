#include "node/breaker_core.hpp"

#include "base/time.hpp"

#include <algorithm>
#include <chrono>
#include <optional>

namespace pn::node {
namespace {

constexpr Millis kLongestPause = std::chrono::hours(1);

}  // namespace

BreakerCore::Change BreakerCore::look(SteadyTime now) {
  if (open() && probe_at_ && now - *probe_at_ >= window_) return close();
  return Change::none;
}

bool BreakerCore::may_lease(SteadyTime now) const {
  if (!open()) return true;
  return !probe_at_ && now >= *next_;
}

BreakerCore::Ticket BreakerCore::leased(SteadyTime now) {
  if (!open() || probe_at_) return Ticket::plain;
  probe_at_ = now;
  next_ = now + pause_;
  return Ticket::probe;
}

BreakerCore::Change BreakerCore::ended(Ticket ticket,
                                       Fate fate,
                                       SteadyTime leased_at,
                                       SteadyTime now) {
  const bool probe = ticket == Ticket::probe && open();
  if (probe) probe_at_.reset();
  if (fate == Fate::other) return Change::none;
  const bool quick_failure = fate == Fate::failed && now - leased_at < window_;
  if (!quick_failure) {
    in_a_row_ = 0;
    return open() && (probe || fate == Fate::worked) ? close() : Change::none;
  }
  ++in_a_row_;
  if (probe) {
    pause_ = std::min(pause_ * 2, std::max(kLongestPause, window_));
    next_ = now + pause_;
    return Change::none;
  }
  if (open() || failures_ == 0 || in_a_row_ < failures_) return Change::none;
  pause_ = window_;
  next_ = now + pause_;
  return Change::opened;
}

std::optional<SteadyTime> BreakerCore::next_probe() const {
  return probe_at_ ? std::nullopt : next_;
}

BreakerCore::Change BreakerCore::close() {
  next_.reset();
  probe_at_.reset();
  in_a_row_ = 0;
  pause_ = window_;
  return Change::closed;
}

}  // namespace pn::node
