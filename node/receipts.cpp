#include "node/receipts.hpp"

#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/log.hpp"
#include "base/result.hpp"
#include "base/retry.hpp"
#include "base/rng.hpp"
#include "base/time.hpp"
#include "node/dms_client.hpp"
#include "node/outbox.hpp"

#include <utility>

namespace pn::node {

DirectReceipts::DirectReceipts(
    DmsClient& dms, Clock& clock, Rng& rng, log::Logger logger, Millis limit)
    : dms_(dms), clock_(clock), rng_(rng), logger_(std::move(logger)), limit_(limit) {}

Awaitable<Result<void>> DirectReceipts::deliver(Receipt receipt) {
  const SteadyTime end = clock_.steady_now() + limit_;
  const RetryPolicy policy{.first = Millis(250), .max = Millis(30'000)};
  Backoff backoff(policy);
  for (;;) {
    Receipt copy = receipt;
    const Result<void> sent = co_await dms_.send(std::move(copy));
    if (sent) {
      logger_.debug("receipt.sent", {{"task", receipt.task}, {"tries", backoff.failures() + 1}});
      co_return Result<void>();
    }
    if (sent.error().kind != ErrorKind::retry) {
      logger_.warn("receipt.refused", {{"task", receipt.task}, log::field(sent.error())});
      co_return sent.error();
    }
    const Millis pause = backoff.next(rng_, sent.error().after).value_or(policy.max);
    if (clock_.steady_now() + pause >= end) {
      logger_.error("receipt.abandoned", {{"task", receipt.task}, log::field(sent.error())});
      co_return sent.error();
    }
    logger_.warn("receipt.delayed",
                 {{"task", receipt.task}, {"again_ms", pause.count()}, log::field(sent.error())});
    co_await clock_.sleep_for(pause);
  }
}

}  // namespace pn::node
