#include "http/proxy.hpp"

#include "base/encoding.hpp"
#include "base/result.hpp"
#include "http/client.hpp"
#include "http/url.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace pn::http {
namespace {

/// An address of either family; `size` is 0 where the text is none.
struct Address {
  std::array<unsigned char, sizeof(in6_addr)> bytes{};
  std::size_t size = 0;

  friend bool operator==(const Address&, const Address&) = default;
};

Address parse_address(std::string_view text) {
  const std::string name(text);
  Address out;
  if (::inet_pton(AF_INET, name.c_str(), out.bytes.data()) == 1) out.size = sizeof(in_addr);
  if (out.size == 0 && ::inet_pton(AF_INET6, name.c_str(), out.bytes.data()) == 1) {
    out.size = sizeof(in6_addr);
  }
  return out;
}

bool same_bits(const Address& a, const Address& b, unsigned bits) {
  const std::size_t whole = bits / 8;
  if (!std::ranges::equal(std::span(a.bytes).first(whole), std::span(b.bytes).first(whole))) {
    return false;
  }
  const unsigned rest = bits % 8;
  return rest == 0 || ((a.bytes[whole] ^ b.bytes[whole]) >> (8U - rest)) == 0;
}

/// Without the dot of a fully qualified name.
std::string_view undotted(std::string_view host) {
  if (host.ends_with('.')) host.remove_suffix(1);
  return host;
}

std::string lowered(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return out;
}

/// "[::1]:8443", "host:8443"; an address of several colons and no brackets has no port.
struct Item {
  std::string_view host;
  std::optional<std::string_view> port;
};

Item split_port(std::string_view text) {
  if (text.starts_with('[')) {
    const std::size_t close = text.find(']');
    if (close == std::string_view::npos) return {.host = text, .port = {}};
    const std::string_view rest = text.substr(close + 1);
    if (rest.starts_with(':')) return {.host = text.substr(1, close - 1), .port = rest.substr(1)};
    // "[2001:db8::]/32" keeps its length.
    return rest.empty() ? Item{.host = text.substr(1, close - 1), .port = {}}
                        : Item{.host = text, .port = {}};
  }
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos || text.find(':', colon + 1) != std::string_view::npos) {
    return {.host = text, .port = {}};
  }
  return {.host = text.substr(0, colon), .port = text.substr(colon + 1)};
}

bool item_names(std::string_view text, const Url& url) {
  if (text == "*") return true;
  const Address address = parse_address(url.host());
  if (const std::size_t slash = text.find('/'); slash != std::string_view::npos) {
    const Address network = parse_address(text.substr(0, slash));
    const auto bits = from_decimal(text.substr(slash + 1));
    return bits && *bits <= network.size * 8 && address.size > 0 && address.size == network.size &&
           same_bits(address, network, static_cast<unsigned>(*bits));
  }
  const Item item = split_port(text);
  if (item.port && from_decimal(*item.port) != url.port()) return false;
  if (address.size > 0) return parse_address(item.host) == address;

  std::string_view name = undotted(item.host);
  if (name.starts_with("*.")) name.remove_prefix(1);
  if (name.starts_with('.')) name.remove_prefix(1);
  if (name.empty()) return false;
  std::string_view host = undotted(url.host());
  if (!host.ends_with(name)) return false;
  host.remove_suffix(name.size());
  return host.empty() || host.ends_with('.');
}

Error by_proxy(std::string_view code, std::string_view what, const std::string& why) {
  return {ErrorKind::retry, std::string(code), std::string(what) + ": " + why};
}

}  // namespace

bool no_proxy_names(std::string_view no_proxy, const Url& url) {
  constexpr std::string_view kBetween = ", \t";
  const std::string list = lowered(no_proxy);
  std::string_view rest = list;
  for (;;) {
    rest.remove_prefix(std::min(rest.find_first_not_of(kBetween), rest.size()));
    if (rest.empty()) return false;
    const std::size_t end = std::min(rest.find_first_of(kBetween), rest.size());
    if (item_names(rest.substr(0, end), url)) return true;
    rest.remove_prefix(end);
  }
}

const std::string& proxy_for(const ClientOptions& options, const Url& url) {
  static const std::string none;
  const std::string& proxy = url.scheme() == "https" ? options.https_proxy : options.http_proxy;
  const bool direct = proxy.empty() || !options.unix_socket.empty() || url.is_loopback() ||
                      no_proxy_names(options.no_proxy, url);
  return direct ? none : proxy;
}

std::optional<Error> check_proxy(std::string_view setting, const std::string& proxy) {
  if (proxy.empty()) return std::nullopt;
  const std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> url(curl_url(), &curl_url_cleanup);
  const CURLUcode code = curl_url_set(
      url.get(), CURLUPART_URL, proxy.c_str(), CURLU_DEFAULT_SCHEME | CURLU_NON_SUPPORT_SCHEME);
  if (code == CURLUE_OK) return std::nullopt;
  return Error(ErrorKind::rejected,
               "proxy_syntax",
               std::string(setting) +
                   " is no URL such as http://user:password@host:port: " + curl_url_strerror(code));
}

ProxyAddress proxy_address(std::string_view proxy) {
  const std::size_t scheme = proxy.find("://");
  ProxyAddress out;
  out.port = proxy.starts_with("https://") ? "443" : "1080";
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

std::optional<Error> from_proxy(std::string_view proxy,
                                const Url& url,
                                const ProxyOutcome& outcome,
                                std::string_view what,
                                std::string_view said) {
  const ProxyAddress address = proxy_address(proxy);
  const std::string shown = "the proxy " + address.host + ":" + address.port;
  const std::string setting = url.scheme() == "https" ? "HTTPS_PROXY" : "HTTP_PROXY";
  const std::string or_direct =
      ", or name " + url.host() + " in NO_PROXY if it can be reached directly";
  const std::string words = said.empty() ? std::string() : ": " + std::string(said);

  constexpr int kUnauthenticated = 407;
  if (outcome.tunnel_status == kUnauthenticated || outcome.status == kUnauthenticated) {
    return by_proxy("proxy_auth",
                    what,
                    shown + " wants another user or password (407); put them into " + setting +
                        " (http://user:password@host:port, other characters than letters and "
                        "digits percent-encoded)" +
                        or_direct);
  }
  if (outcome.curl_code == CURLE_OK) return std::nullopt;
  if (outcome.tunnel_status >= 300) {
    return by_proxy("proxy_refused",
                    what,
                    shown + " answered " + std::to_string(outcome.tunnel_status) +
                        " when asked for a connection to " + url.host() +
                        "; let whoever runs it allow that" + or_direct);
  }
  if (outcome.tunnel_status != 0) return std::nullopt;
  const bool tls = proxy.starts_with("https://");
  // Before a tunnel stands, TLS is with the proxy. To an http server there is none else.
  switch (outcome.curl_code) {
    case CURLE_COULDNT_CONNECT:
      return by_proxy("proxy_connect",
                      what,
                      "there is no connection to " + shown + "; see that it runs and that " +
                          setting + " names it" + or_direct + words);
    case CURLE_PEER_FAILED_VERIFICATION:
      if (!tls) return std::nullopt;
      return by_proxy("proxy_certificate",
                      what,
                      "the certificate of " + shown +
                          " is not trusted (EXTRA_CA_FILE adds a private authority)" + words);
    case CURLE_SSL_CONNECT_ERROR:
      if (!tls) return std::nullopt;
      return by_proxy("proxy_tls",
                      what,
                      "the TLS handshake with " + shown +
                          " failed; if it has no TLS, write http:// into " + setting + words);
    default:
      return std::nullopt;
  }
}

}  // namespace pn::http
