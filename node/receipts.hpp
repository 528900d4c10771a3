#pragma once

#include "base/clock.hpp"
#include "base/log.hpp"
#include "base/rng.hpp"
#include "node/dms_client.hpp"
#include "node/outbox.hpp"

namespace pn::node {

/// Sends outcomes from memory, again and again for a bounded time: what a restart forgets. Thread:
/// the control loop's.
class DirectReceipts final : public ReceiptSink {
 public:
  DirectReceipts(DmsClient& dms, Clock& clock, Rng& rng, log::Logger logger, Millis limit = kLimit);

  Awaitable<Result<void>> deliver(Receipt receipt) override;

  /// Longer than a server's restart, shorter than what a person waits for a slot that does nothing.
  static constexpr Millis kLimit{600'000};

 private:
  DmsClient& dms_;
  Clock& clock_;
  Rng& rng_;
  const log::Logger logger_;
  const Millis limit_;
};

}  // namespace pn::node
