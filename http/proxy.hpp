#pragma once

#include "base/result.hpp"
#include "http/client.hpp"
#include "http/url.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace pn::http {

/// Whether a list as NO_PROXY has it names the host of `url`. Ours and not libcurl's, whose rule
/// changes from version to version and knows no ports. Items stand between commas or blanks:
///
///   *                     every host
///   example.com           it and all below it; ".example.com" and "*.example.com" mean the same
///   192.0.2.7, [2001:db8::7]          an address, in whatever form it is written
///   192.0.2.0/24, 2001:db8::/32       a network, for URLs that name an address
///   example.com:8443, [::1]:8443      any of the names and addresses, at this port only
///
/// Nothing is resolved. Case and a dot at the end make no difference. What is none of these matches
/// nothing.
bool no_proxy_names(std::string_view no_proxy, const Url& url);

/// The proxy by which a request to `url` goes, chosen by its scheme; empty: directly, as always to
/// loopback and over a Unix socket. A part of `options`.
const std::string& proxy_for(const ClientOptions& options, const Url& url);

/// Why libcurl can make nothing of a proxy's setting, which is named: kind `rejected`, code
/// "proxy_syntax". Nothing where it can, or the text is empty. That may hold a password: it is not
/// repeated.
std::optional<Error> check_proxy(std::string_view setting, const std::string& proxy);

/// Where a proxy listens: what may be shown of its setting, which may hold a password.
struct ProxyAddress {
  std::string host;
  std::string port;  ///< libcurl's default filled in: 443 for https://, 1080 for all others

  friend bool operator==(const ProxyAddress&, const ProxyAddress&) = default;
};
/// Of "http://user:password@host:3128", "host:3128", "socks5h://[::1]:9".
ProxyAddress proxy_address(std::string_view proxy);

/// How an exchange by a proxy ended. Statuses are 0 where there was none.
struct ProxyOutcome {
  int curl_code = 0;
  int tunnel_status = 0;  ///< what it answered to CONNECT
  int status = 0;
};
/// The Error where that was the proxy's doing and not the server's; nothing where it was not. Kind
/// `retry`: a proxy settles nothing between a server and us, and an operator can mend it meanwhile.
/// Code "proxy_auth" (407), "proxy_refused", "proxy_connect", "proxy_certificate", "proxy_tls".
/// `what` and `said` as in from_curl(); the proxy's password is never in it.
std::optional<Error> from_proxy(std::string_view proxy,
                                const Url& url,
                                const ProxyOutcome& outcome,
                                std::string_view what,
                                std::string_view said);

}  // namespace pn::http
