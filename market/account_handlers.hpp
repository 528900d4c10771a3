#pragma once

#include "base/awaitable.hpp"
#include "base/offload.hpp"
#include "base/secret.hpp"
#include "http/server.hpp"
#include "market/answers.hpp"
#include "market/context.hpp"
#include "market/identity_store.hpp"

#include <string>

namespace pn::market {

/// Accounts: user login and refresh, and the exchange of an app's or a user's credentials for the
/// token that DDS takes (wire.md).
class AccountHandlers final {
 public:
  explicit AccountHandlers(MarketContext& context) : context_(context) {}
  AccountHandlers(const AccountHandlers&) = delete;
  AccountHandlers& operator=(const AccountHandlers&) = delete;

  /// The routes borrow this.
  void add_routes(http::Router& router);

 private:
  Answer login(http::ServerRequest& request);
  Answer refresh(http::ServerRequest& request);
  Answer access_token(http::ServerRequest& request);

  Awaitable<Result<TokenClaims>> app_by_basic(std::string header);
  http::ServerResponse user_tokens(const UserRow& user);
  /// Whether it is the password of the hash. Kind `retry`, code "too_many_logins", when too many
  /// wait for that already.
  Awaitable<Result<bool>> is_password(const Secret<std::string>& given, const std::string& hash);

  MarketContext& context_;
  int hashing_ = 0;
  // A hash takes 50 ms by intent: not on a thread that anything else waits for, and one at a time.
  ThreadPool hasher_{"market-hash", 1};
};

}  // namespace pn::market
