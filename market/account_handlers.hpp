#pragma once

#include "base/awaitable.hpp"
#include "http/server.hpp"
#include "market/context.hpp"

#include <string>

namespace pn::market {

/// Accounts: user login and refresh, and the exchange of an app's or a user's credentials for the
/// token that DDS takes (protocol/dds.md).
class AccountHandlers final {
 public:
  explicit AccountHandlers(MarketContext& context) : context_(context) {}
  AccountHandlers(const AccountHandlers&) = delete;
  AccountHandlers& operator=(const AccountHandlers&) = delete;

  /// The routes borrow this.
  void add_routes(http::Router& router);

 private:
  Awaitable<http::ServerResponse> login(http::ServerRequest& request);
  Awaitable<http::ServerResponse> refresh(http::ServerRequest& request);
  Awaitable<http::ServerResponse> access_token(http::ServerRequest& request);

  Awaitable<Result<TokenClaims>> app_by_basic(std::string header);
  http::ServerResponse user_tokens(const std::string& user, const OrganizationId& organization);

  MarketContext& context_;
};

}  // namespace pn::market
