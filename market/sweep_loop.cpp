#include "market/sweep_loop.hpp"

#include "base/awaitable.hpp"
#include "base/log.hpp"
#include "base/result.hpp"

namespace pn::market {

Awaitable<void> SweepLoop::run() {
  co_await context_.clock.sleep_for(context_.settings.lease_ttl);
  for (;;) {
    const Result<int> swept = co_await jobs_.sweep();
    if (!swept.ok()) context_.logger.error("sweep.failed", {log::field(swept.error())});
    if (swept.ok() && *swept > 0) continue;  // there may be more than one sweep takes
    co_await context_.clock.sleep_for(context_.settings.sweep_interval);
  }
}

}  // namespace pn::market
