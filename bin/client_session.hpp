#pragma once

#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "base/rng.hpp"
#include "base/secret.hpp"
#include "bin/client_settings.hpp"
#include "http/client.hpp"
#include "http/url.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace pn::bin {

/// The right to work in one domain, checked.
struct DomainGrant {
  Secret<std::string> token;
  http::Url domain_server;
  SteadyTime renew_at;  ///< before its end, by the server's clock
};

/// A client's standing with the marketplace: app key and secret become a grant for the domain,
/// which is renewed before it ends. Thread: one loop's; callers may overlap, each may sign in then.
///
/// Errors: `unauthorized` when the credentials are refused or the grant is not what was asked for;
/// `not_found` for an unknown domain; else those of http.
class ClientSession final {
 public:
  /// References outlive the session.
  ClientSession(http::HttpClient& http, Clock& clock, Rng& rng, ClientSettings settings);

  /// A grant that is good now; its token for DMS and for the domain server.
  Awaitable<Result<DomainGrant>> grant();
  /// A service answered 401 to it.
  void reject() { grant_.reset(); }

  /// Sends a request with the grant as its bearer: on 401 once more with a new one; on transient
  /// failures with pauses, for up to about half a minute. Only for what may be sent twice. Answers
  /// 2xx responses; everything else is an Error.
  Awaitable<Result<http::Response>> send(http::Request request);

  [[nodiscard]] const ClientSettings& settings() const { return settings_; }
  [[nodiscard]] http::HttpClient& http() { return http_; }

 private:
  Awaitable<Result<http::Response>> post(http::Url url, std::string authorization);
  Awaitable<Result<http::Response>> patiently(http::Request request);
  Awaitable<Result<DomainGrant>> sign_in();

  http::HttpClient& http_;
  Clock& clock_;
  Rng& rng_;
  const ClientSettings settings_;
  std::optional<DomainGrant> grant_;
};

/// What a domain's `auth` call answered, checked: issuer "dds", this domain, both audiences, an
/// expiry after `now` (the server's time). `renew_at` is left to the caller.
struct GrantAnswer {
  Secret<std::string> token;
  http::Url domain_server;
  SystemTime expires_at;
};
Result<GrantAnswer> parse_grant(std::string_view body, const DomainId& domain, SystemTime now);

}  // namespace pn::bin
