#include "node/supervisor.hpp"

#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/time.hpp"

#include <algorithm>
#include <chrono>
#include <functional>
#include <string>

namespace pn::node {
namespace {

/// Also without a watchdog: the line is wanted, and a drain's time must be extended.
constexpr Millis kSlowest{2000};
constexpr Millis kQuickest{10};

}  // namespace

Awaitable<void> supervise(Supervisor& supervisor, Clock& clock, std::function<Vitals()> look) {
  const Millis period =
      std::clamp(supervisor.watchdog().value_or(3 * kSlowest) / 3, kQuickest, kSlowest);
  std::string said;
  for (;;) {
    const Vitals vitals = look();
    if (vitals.alive) supervisor.alive();
    // Long enough that a machine under load does not make a slow drain a kill.
    if (vitals.stopping) supervisor.stopping(std::max(5 * period, Millis(15'000)));
    if (vitals.line != said) supervisor.say(vitals.line);
    said = vitals.line;
    co_await clock.sleep_for(period);
  }
}

}  // namespace pn::node
