#pragma once

#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/log.hpp"
#include "base/result.hpp"
#include "base/rng.hpp"
#include "market/bootstrap.hpp"
#include "market/settings.hpp"

#include <cstdint>
#include <memory>
#include <string>

namespace pn::market {

/// A whole marketplace: DDS, accounts and the domain server at the root of one listener, DMS under
/// /v1. Lives in one data folder that it locks; runs on one loop.
class Market final {
 public:
  /// Opens the data folder, the database and the listener. Blocks; before the loop runs, or on it.
  /// Kind `rejected`: "data_in_use" (another market has the folder), "address_in_use", a listen
  /// address or URL that is none, a database that is not ours. All references outlive the market.
  static Result<std::unique_ptr<Market>> open(
      Executor executor, Clock& clock, Rng& rng, log::Logger logger, MarketSettings settings);
  /// Not while run() is awaited.
  ~Market();
  Market(const Market&) = delete;
  Market& operator=(const Market&) = delete;

  [[nodiscard]] std::uint16_t port() const;
  /// What nodes and tokens are told: "http://127.0.0.1:8480", no slash at the end.
  [[nodiscard]] const std::string& public_url() const;
  [[nodiscard]] const Bootstrapped& bootstrapped() const;

  /// Serves and sweeps until request_stop(), then lets the exchanges in flight end, for ten seconds
  /// or a third of a lease's time: without a market nodes lose their leases. Cancellation closes
  /// all at once.
  Awaitable<void> run();
  /// From the market's loop.
  void request_stop();

 private:
  struct Impl;
  explicit Market(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace pn::market
