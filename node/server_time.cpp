#include "node/server_time.hpp"

#include "base/time.hpp"

#include <algorithm>
#include <chrono>

namespace pn::node {
namespace {

/// An answer is taken to travel at most this long, so that a long poll, made seconds after it was
/// asked for, still tells the time.
constexpr std::chrono::seconds kTravel{1};

}  // namespace

void ServerTime::observe(SystemTime date, SystemTime sent, SystemTime received) {
  // A wall clock may step back between the two.
  const SystemTime earliest = std::min(received, std::max(sent, received - kTravel));
  const auto low = date - received;
  const auto high = date + std::chrono::seconds(1) - earliest;
  if (known_ && low <= high_ && high >= low_) {
    low_ = std::max(low_, low);
    high_ = std::min(high_, high);
    return;
  }
  known_ = true;
  low_ = low;
  high_ = high;
}

std::chrono::microseconds ServerTime::offset() const {
  if (!known_ || (low_.count() <= 0 && high_.count() >= 0)) return std::chrono::microseconds(0);
  return high_;
}

}  // namespace pn::node
