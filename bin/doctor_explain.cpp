#include "base/result.hpp"
#include "bin/doctor.hpp"
#include "bin/doctor_report.hpp"
#include "http/client.hpp"
#include "http/url.hpp"
#include "node/config_reader.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/asio/ip/address_v4.hpp>
#include <boost/asio/ip/network_v4.hpp>
#include <boost/system/error_code.hpp>

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
    "put the proxy's user and password into HTTPS_PROXY (http://user:password@host:port), or name "
    "{host} in NO_PROXY if it can be reached directly";

// The one place that reads what libcurl and OpenSSL say: they have one code for all that can be
// wrong with a certificate, and the remedies differ. Where their words change, the last row of a
// code still fits.
// NOLINTBEGIN(modernize-use-designated-initializers): a table
constexpr std::array kCauses{
    Cause{"", " 407", "the proxy refuses us (407)", kProxyPassword, Blame::configuration},
    Cause{"curl_resolve_proxy",
          "",
          "the proxy's name does not resolve",
          "correct HTTPS_PROXY, or ask who runs the network for the proxy's name",
          Blame::configuration},
    Cause{"curl_proxy",
          "",
          "the proxy refused or failed",
          "check HTTPS_PROXY, or name {host} in NO_PROXY if it can be reached directly",
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

std::string_view trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

/// "192.0.2.0/24" holds the address `host`.
bool in_network(std::string_view network, const std::string& host) {
  boost::system::error_code failed;
  const auto address = asio::ip::make_address_v4(host, failed);
  if (failed) return false;
  const auto range = asio::ip::make_network_v4(std::string(network), failed);
  if (failed) return false;
  return asio::ip::network_v4(address, 32).is_subnet_of(range.canonical());
}

}  // namespace

Finding explain(std::string_view check,
                std::string tried,
                const Error& error,
                const http::Url& url,
                std::string_view setting,
                bool proxied) {
  const std::string said = node::lower_case(error.detail);
  const auto cause = std::find_if(kCauses.begin(), kCauses.end(), [&](const Cause& row) {
    const bool same = row.code.empty() ? proxied : row.code == error.code;
    return same && said.find(row.says) != std::string::npos;
  });
  std::string got;
  std::string remedy;
  Blame blame = Blame::temporary;
  if (cause != kCauses.end()) {
    got = cause->means;
    remedy = cause->remedy;
    blame = cause->blame;
  } else if (proxied && error.code == "curl_connect") {
    got = "the proxy does not take connections, or does not let us through";
    remedy = "check HTTPS_PROXY; or name {host} in NO_PROXY if it can be reached directly";
    blame = Blame::configuration;
  } else {
    got = "no answer";
    remedy = "check {setting}, the network and the firewall; try again later";
  }
  fill(remedy, "{host}", url.host());
  fill(remedy, "{setting}", setting);
  return failure(check, blame, std::move(tried), got + " (" + error.detail + ")", {remedy});
}

HostPort proxy_address(std::string_view proxy) {
  const std::size_t scheme = proxy.find("://");
  HostPort out;
  out.port = proxy.starts_with("https://") ? "443" : "1080";  // as libcurl has it
  if (scheme != std::string_view::npos) proxy.remove_prefix(scheme + 3);
  proxy = proxy.substr(0, proxy.find('/'));
  const std::size_t at = proxy.rfind('@');
  if (at != std::string_view::npos) proxy.remove_prefix(at + 1);
  const std::size_t bracket = proxy.find(']');
  const std::size_t colon = proxy.find(':', bracket == std::string_view::npos ? 0 : bracket);
  out.host = proxy.substr(0, colon);
  if (colon != std::string_view::npos) out.port = proxy.substr(colon + 1);
  if (out.host.starts_with('[') && out.host.ends_with(']')) {
    out.host = out.host.substr(1, out.host.size() - 2);
  }
  return out;
}

bool goes_by_proxy(const http::ClientOptions& options, const http::Url& url) {
  if (options.proxy.empty() || url.is_loopback()) return false;
  std::string_view rest = options.no_proxy;
  while (!rest.empty()) {
    const std::size_t comma = rest.find(',');
    const std::string item = node::lower_case(trim(rest.substr(0, comma)));
    rest.remove_prefix(comma == std::string_view::npos ? rest.size() : comma + 1);
    if (item.empty()) continue;
    if (item == "*") return false;
    const std::string_view name = std::string_view(item).substr(item.starts_with('.') ? 1 : 0);
    if (url.host() == name || url.host().ends_with("." + std::string(name))) return false;
    if (item.find('/') != std::string::npos && in_network(item, url.host())) return false;
  }
  return true;
}

}  // namespace pn::bin::doctor
