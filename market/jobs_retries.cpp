#include "base/awaitable.hpp"
#include "base/deadline.hpp"
#include "base/log.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "market/context.hpp"
#include "market/job_store.hpp"
#include "market/jobs_service.hpp"
#include "market/task_rules.hpp"

#include <algorithm>
#include <chrono>
#include <functional>

#include <soci/soci.h>

namespace pn::market {
namespace {

/// Between two looks, so that many tasks which come due one after the other share a write.
constexpr Millis kLeastPause{100};
/// After a look that failed.
constexpr std::chrono::seconds kAgain{1};

}  // namespace

Awaitable<void> JobsService::release_retries() {
  for (;;) {
    if (!release_at_.passed(context_.clock)) {
      co_await sooner_.wait_until(context_.clock, release_at_);
      continue;
    }
    release_at_ = Deadline();
    const Result<void> released = co_await release_now();
    if (!released.ok()) {
      context_.logger.error("retries.failed", {log::field(released.error())});
      release_at_ = release_at_.sooner(Deadline::in(context_.clock, kAgain));
    }
    co_await context_.clock.sleep_for(kLeastPause);
  }
}

void JobsService::release_by(SystemTime when) {
  const SystemTime now = context_.clock.system_now();
  // A wall clock that was set back makes no pause longer.
  const Millis left = std::clamp<Millis>(
      std::chrono::ceil<Millis>(when - now), Millis(0), Millis(kLongestRetryPause));
  release_at_ = release_at_.sooner(Deadline::in(context_.clock, left));
  sooner_.set();
}

Awaitable<Result<void>> JobsService::release_now() {
  const SystemTime now = context_.clock.system_now();
  const std::function<Result<JobStore::Released>(soci::session&)> work =
      [now](soci::session& s) -> Result<JobStore::Released> {
    return JobStore::release_held(s, now);
  };
  const auto released = co_await context_.database.write<JobStore::Released>(work);
  if (!released.ok()) co_return released.error();
  queue_.announce(released->ready);
  if (released->next) release_by(*released->next);
  co_return Result<void>();
}

}  // namespace pn::market
