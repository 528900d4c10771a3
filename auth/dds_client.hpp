#pragma once

#include "auth/access_tokens.hpp"
#include "auth/dds_json.hpp"
#include "auth/siwe.hpp"
#include "auth/wallet.hpp"
#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "http/client.hpp"
#include "http/url.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace pn::auth {

/// A token as the node keeps time: by how long it lasts, not by whose clock says when it ends.
struct IssuedToken {
  AccessToken token;
  SteadyTime asked_at;  ///< when the request was sent; the token lives `ttl` from then at least
  Millis ttl{0};
  Millis clock_skew{0};  ///< server's clock minus ours; zero when the server told no time
};

/// The calls of DDS that a node makes (the wire description of DDS). One attempt each: who retries
/// is the loop's business. Owned by one loop.
///
/// Errors: from_curl and from_http_status of the exchange; `corrupt` for an answer that cannot be
/// used; sign_in() answers `restart`, code "registration_gone", for 403 and 404 of siwe/verify.
class DdsClient final {
 public:
  /// All outlive the client. `timeout` is for each request.
  DdsClient(
      http::HttpClient& http, Clock& clock, http::Url base, const Wallet& wallet, Millis timeout);

  /// A fresh nonce, signed.
  Awaitable<Result<SignedMessage>> signed_challenge();
  /// Challenge, signature, siwe/verify. An expiry that has passed is `corrupt`.
  Awaitable<Result<IssuedToken>> sign_in();
  /// Challenge, signature, register-wallet. `registration` outlives the await.
  Awaitable<Result<void>> register_wallet(const Registration& registration);

 private:
  Awaitable<Result<http::Response>> post(http::Url url, std::string body);

  http::HttpClient& http_;
  Clock& clock_;
  const http::Url base_;
  const Wallet& wallet_;
  const Millis timeout_;
};

}  // namespace pn::auth
