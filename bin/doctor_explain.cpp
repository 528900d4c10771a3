#include "base/result.hpp"
#include "bin/doctor.hpp"
#include "bin/doctor_report.hpp"
#include "http/url.hpp"
#include "node/config_reader.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pn::bin::doctor {
namespace {

struct Cause {
  std::string_view code;   ///< of the Error
  std::string_view says;   ///< in its detail, lower case; empty: any
  std::string_view means;  ///< for people; {url} and {host} are filled in
  std::string_view remedy;
  Blame blame;
};

constexpr std::string_view kProxyPassword =
    "put the proxy's user and password into {proxy} (http://user:password@host:port), or name "
    "{host} in NO_PROXY if it can be reached directly";

// The one place that reads what libcurl and OpenSSL say: they have one code for all that can be
// wrong with a certificate, and the remedies differ. Where their words change, the last row of a
// code still fits.
// NOLINTBEGIN(modernize-use-designated-initializers): a table
constexpr std::array kCauses{
    Cause{"proxy_auth", "", "the proxy refuses us (407)", kProxyPassword, Blame::configuration},
    Cause{
        "proxy_refused",
        "",
        "the proxy does not let us through",
        "let who runs the proxy allow {host}, or name it in NO_PROXY if it can be reached directly",
        Blame::configuration},
    Cause{"proxy_connect",
          "",
          "the proxy does not take connections",
          "check {proxy}; or name {host} in NO_PROXY if it can be reached directly",
          Blame::configuration},
    Cause{"proxy_certificate",
          "",
          "the proxy's certificate is signed by an authority that this machine does not know",
          "save that authority's certificate (PEM) and name it in EXTRA_CA_FILE",
          Blame::configuration},
    Cause{"proxy_tls",
          "",
          "no TLS at the proxy",
          "if the proxy has no TLS, write http:// into {proxy}",
          Blame::configuration},
    Cause{"curl_resolve_proxy",
          "",
          "the proxy's name does not resolve",
          "correct {proxy}, or ask who runs the network for the proxy's name",
          Blame::configuration},
    Cause{"curl_proxy",
          "",
          "the proxy refused or failed",
          "check {proxy}, or name {host} in NO_PROXY if it can be reached directly",
          Blame::configuration},
    Cause{"curl_certificate",
          "expired",
          "the server's certificate has expired",
          "tell the host of {host}; if this machine's clock is wrong, set it (timedatectl set-ntp "
          "true)",
          Blame::temporary},
    Cause{"curl_certificate",
          "not yet valid",
          "the server's certificate is not valid yet",
          "this machine's clock is behind: set it (timedatectl set-ntp true)",
          Blame::configuration},
    Cause{"curl_certificate",
          "subject name",
          "the server's certificate is for another name",
          "write into {setting} the name that the certificate has; or something between here and "
          "{host} answers in its place",
          Blame::configuration},
    Cause{"curl_certificate",
          "self-signed",
          "the server's certificate is self-signed, or its authority is a private one",
          "save that authority's certificate (PEM) and name it in EXTRA_CA_FILE; on a network that "
          "inspects TLS it is the proxy's",
          Blame::configuration},
    Cause{"curl_certificate",
          "self signed",
          "the server's certificate is self-signed, or its authority is a private one",
          "save that authority's certificate (PEM) and name it in EXTRA_CA_FILE; on a network that "
          "inspects TLS it is the proxy's",
          Blame::configuration},
    Cause{"curl_certificate",
          "",
          "the server's certificate is signed by an authority that this machine does not know",
          "install ca-certificates, or name the private authority's PEM file in EXTRA_CA_FILE",
          Blame::configuration},
    Cause{"curl_ca_bundle",
          "",
          "the system's certificates cannot be read",
          "install the package ca-certificates",
          Blame::configuration},
    Cause{
        "curl_tls",
        "",
        "no TLS there: most likely plain http answers on this port",
        "if that service has no TLS, write http:// into {setting} (and ALLOW_PLAIN_HTTP=true on a "
        "private network); else correct the port",
        Blame::configuration},
    Cause{"curl_no_http",
          "",
          "what answers is no HTTP",
          "correct {setting}: the host or the port is another service's, or it must be https://",
          Blame::configuration},
    Cause{"curl_connection_lost",
          "",
          "the connection was closed without an answer",
          "if the port speaks TLS, write https:// into {setting}; else look whether the service at "
          "{host} is well",
          Blame::temporary},
    Cause{"plain_http",
          "",
          "plain http is refused",
          "write https:// into {setting}, or set ALLOW_PLAIN_HTTP=true on a private network",
          Blame::configuration},
    Cause{"deadline",
          "",
          "no answer in time",
          "a firewall may swallow the packets, or the service hangs; try again, with --timeout 15 "
          "on a slow line",
          Blame::temporary},
    Cause{"curl_timeout",
          "",
          "no answer in time",
          "a firewall may swallow the packets, or the service hangs; try again, with --timeout 15 "
          "on a slow line",
          Blame::temporary},
};
// NOLINTEND(modernize-use-designated-initializers)

void fill(std::string& text, std::string_view name, std::string_view value) {
  for (std::size_t at = text.find(name); at != std::string::npos;
       at = text.find(name, at + value.size())) {
    text.replace(at, name.size(), value);
  }
}

}  // namespace

Finding explain(std::string_view check,
                std::string tried,
                const Error& error,
                const http::Url& url,
                std::string_view setting) {
  const std::string said = node::lower_case(error.detail);
  const auto cause = std::find_if(kCauses.begin(), kCauses.end(), [&](const Cause& row) {
    return row.code == error.code && said.find(row.says) != std::string::npos;
  });
  std::string got;
  std::string remedy;
  Blame blame = Blame::temporary;
  if (cause != kCauses.end()) {
    got = cause->means;
    remedy = cause->remedy;
    blame = cause->blame;
  } else {
    got = "no answer";
    remedy = "check {setting}, the network and the firewall; try again later";
  }
  fill(remedy, "{host}", url.host());
  fill(remedy, "{setting}", setting);
  fill(remedy, "{proxy}", url.scheme() == "https" ? "HTTPS_PROXY" : "HTTP_PROXY");
  return failure(check, blame, std::move(tried), got + " (" + error.detail + ")", {remedy});
}

}  // namespace pn::bin::doctor
