#pragma once

#include "auth/siwe.hpp"
#include "base/json.hpp"
#include "http/server.hpp"
#include "market/answers.hpp"
#include "market/context.hpp"
#include "market/identity_store.hpp"

#include <functional>
#include <string>

namespace pn::market {

/// DDS for nodes: sign-in by wallet, registration, the list of nodes, the public key
/// (wire.md).
class DdsHandlers final {
 public:
  explicit DdsHandlers(MarketContext& context) : context_(context) {}
  DdsHandlers(const DdsHandlers&) = delete;
  DdsHandlers& operator=(const DdsHandlers&) = delete;

  /// The routes borrow this.
  void add_routes(http::Router& router);

  /// Called when a node that was known has registered with other capabilities or attributes: what
  /// was read of it is outdated. A new one waits for nothing yet.
  std::function<void(const NodeId&)> node_changed;

 private:
  Answer siwe_request(http::ServerRequest& request);
  Answer siwe_verify(http::ServerRequest& request);
  Answer register_wallet(http::ServerRequest& request);
  Answer nodes(http::ServerRequest& request);
  Answer public_key(http::ServerRequest& request);
  Answer public_pem(http::ServerRequest& request);
  Answer health(http::ServerRequest& request);

  /// What the message says, when it is for this market and was signed by its address.
  [[nodiscard]] Result<auth::ParsedSiwe> signed_by_wallet(const std::string& message,
                                                          const std::string& signature) const;
  [[nodiscard]] std::string siwe_domain() const;

  MarketContext& context_;
};

}  // namespace pn::market
