#pragma once

#include "base/json.hpp"
#include "http/server.hpp"
#include "market/answers.hpp"
#include "market/context.hpp"
#include "market/identity_store.hpp"

#include <optional>

namespace pn::market {

/// DDS for clients: domains, and the grants that open them (wire.md). One domain server:
/// this market's own.
class DomainHandlers final {
 public:
  explicit DomainHandlers(MarketContext& context) : context_(context) {}
  DomainHandlers(const DomainHandlers&) = delete;
  DomainHandlers& operator=(const DomainHandlers&) = delete;

  /// The routes borrow this.
  void add_routes(http::Router& router);

 private:
  Answer list(http::ServerRequest& request);
  Answer create(http::ServerRequest& request);
  Answer authorize(http::ServerRequest& request);
  Answer remove(http::ServerRequest& request);

  [[nodiscard]] Json domain_json(const DomainRow& row,
                                 const std::optional<MintedToken>& token) const;

  MarketContext& context_;
};

}  // namespace pn::market
