#pragma once

#include "base/awaitable.hpp"
#include "market/context.hpp"
#include "market/jobs_service.hpp"

namespace pn::market {

/// Ends expired leases every `sweep_interval`. The first time one lease's life after the start: who
/// could not be heard because the market was down has that long to speak up. Thread: the market's
/// loop.
class SweepLoop final {
 public:
  SweepLoop(MarketContext& context, JobsService& jobs) : context_(context), jobs_(jobs) {}
  SweepLoop(const SweepLoop&) = delete;
  SweepLoop& operator=(const SweepLoop&) = delete;

  /// Until cancelled; a sweep that has begun is finished.
  Awaitable<void> run();

 private:
  MarketContext& context_;
  JobsService& jobs_;
};

}  // namespace pn::market
