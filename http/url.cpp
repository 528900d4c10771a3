#include "http/url.hpp"

#include "base/encoding.hpp"
#include "base/result.hpp"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace pn::http {
namespace {

Error bad_url(std::string_view what) {
  return {ErrorKind::rejected,
          "url_syntax",
          std::string(what) + "; a URL looks like https://host/path"};
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

std::uint16_t default_port(std::string_view scheme) { return scheme == "https" ? 443 : 80; }

std::optional<std::uint16_t> parse_port(std::string_view text) {
  std::uint16_t port = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (failed != std::errc() || end != text.data() + text.size() || port == 0) return std::nullopt;
  return port;
}

bool host_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
}

/// What may stand in a path or a query as it goes onto the wire; everything else would have to be
/// encoded, and guessing how is the writer's business.
bool wire_character(char c) {
  return c > 0x20 && c < 0x7F && std::string_view("\"<>\\^`{|}").find(c) == std::string_view::npos;
}

bool is_ipv6(const std::string& host) {
  if (host.find('\0') != std::string::npos) return false;  // inet_pton would not read on
  in6_addr address{};
  return inet_pton(AF_INET6, host.c_str(), &address) == 1;
}

std::string decode_form(std::string_view text) {
  std::string spaced(text);
  std::ranges::replace(spaced, '+', ' ');
  std::optional<std::string> decoded = percent_decode(spaced);
  return decoded ? std::move(*decoded) : spaced;
}

/// A host and port; empty text when it is sound, else what is wrong.
struct Authority {
  std::string host;
  std::string_view port;
  std::string_view fault;
};

Authority split_authority(std::string_view text) {
  Authority out;
  if (text.find('@') != std::string_view::npos) {
    out.fault = "user names and passwords in a URL are not accepted";
    return out;
  }
  if (text.starts_with('[')) {
    const std::size_t close = text.find(']');
    out.host = lower(text.substr(1, close == std::string_view::npos ? close : close - 1));
    if (close == std::string_view::npos || !is_ipv6(out.host)) {
      out.fault = "the IPv6 address in brackets is malformed";
      return out;
    }
    text.remove_prefix(close + 1);
    if (!text.empty() && !text.starts_with(':')) out.fault = "only a port may follow the address";
  } else {
    const std::size_t colon = text.find(':');
    out.host = lower(text.substr(0, colon));
    text.remove_prefix(std::min(colon, text.size()));
    if (out.host.empty()) {
      out.fault = "the host is missing";
    } else if (!std::ranges::all_of(out.host, host_character)) {
      out.fault = "the host has a character that no host name has";
    }
  }
  if (text.starts_with(':')) text.remove_prefix(1);
  out.port = text;
  return out;
}

}  // namespace

QueryPairs parse_query(std::string_view query) {
  QueryPairs out;
  while (!query.empty()) {
    const std::size_t end = std::min(query.find('&'), query.size());
    const std::string_view piece = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    if (piece.empty()) continue;
    const std::size_t equals = std::min(piece.find('='), piece.size());
    out.emplace_back(decode_form(piece.substr(0, equals)),
                     decode_form(piece.substr(std::min(equals + 1, piece.size()))));
  }
  return out;
}

Result<Url> Url::parse(std::string_view text) {
  const std::size_t scheme_end = text.find("://");
  if (scheme_end == std::string_view::npos) return bad_url("the scheme is missing");
  Url out;
  out.scheme_ = lower(text.substr(0, scheme_end));
  if (out.scheme_ != "http" && out.scheme_ != "https") return bad_url("the scheme is not http(s)");
  text.remove_prefix(scheme_end + 3);
  if (text.find('#') != std::string_view::npos) return bad_url("a fragment is not accepted");

  const std::size_t authority_end = std::min(text.find_first_of("/?"), text.size());
  Authority authority = split_authority(text.substr(0, authority_end));
  if (!authority.fault.empty()) return bad_url(authority.fault);
  out.host_ = std::move(authority.host);
  const std::optional<std::uint16_t> port =
      authority.port.empty() ? default_port(out.scheme_) : parse_port(authority.port);
  if (!port) return bad_url("the port is not a number from 1 to 65535");
  out.port_ = *port;

  text.remove_prefix(authority_end);
  if (!std::ranges::all_of(text, wire_character)) {
    return bad_url("the path or query has a character that must be percent-encoded");
  }
  const std::size_t query_at = std::min(text.find('?'), text.size());
  out.path_ = text.substr(0, query_at);
  if (out.path_.empty()) out.path_ = "/";
  out.query_ = text.substr(std::min(query_at + 1, text.size()));
  return out;
}

std::string Url::origin() const {
  std::string out = scheme_ + "://";
  const bool v6 = host_.find(':') != std::string::npos;
  if (v6) out += '[';
  out += host_;
  if (v6) out += ']';
  if (port_ != default_port(scheme_)) out += ':' + std::to_string(port_);
  return out;
}

std::string Url::str() const {
  std::string out = origin() + path_;
  if (!query_.empty()) out += '?' + query_;
  return out;
}

Url Url::append(std::initializer_list<std::string_view> segments) const {
  Url out = *this;
  out.query_.clear();
  while (out.path_.ends_with('/')) out.path_.pop_back();
  for (const std::string_view segment : segments) {
    out.path_ += '/';
    // A dot segment would be resolved on the way, by curl or by the server: never let one through.
    if (segment == "." || segment == "..") {
      for (std::size_t i = 0; i < segment.size(); ++i) out.path_ += "%2E";
    } else {
      out.path_ += percent_encode(segment);
    }
  }
  if (out.path_.empty()) out.path_ = "/";
  return out;
}

Url Url::with_query(std::string_view key, std::string_view value) const {
  Url out = *this;
  if (!out.query_.empty()) out.query_ += '&';
  out.query_ += percent_encode(key);
  if (!value.empty()) out.query_ += '=' + percent_encode(value);
  return out;
}

Url Url::with_path(std::string_view path) const {
  Url out = *this;
  const std::size_t query_at = std::min(path.find('?'), path.size());
  out.path_ = path.substr(0, query_at);
  if (!out.path_.starts_with('/')) out.path_.insert(0, 1, '/');
  out.query_ = path.substr(std::min(query_at + 1, path.size()));
  return out;
}

bool Url::is_loopback() const {
  if (host_ == "localhost" || host_.ends_with(".localhost")) return true;
  in_addr v4{};
  if (inet_pton(AF_INET, host_.c_str(), &v4) == 1) return (ntohl(v4.s_addr) >> 24U) == 127;
  in6_addr v6{};
  if (inet_pton(AF_INET6, host_.c_str(), &v6) != 1) return false;
  return IN6_IS_ADDR_LOOPBACK(&v6) != 0;
}

}  // namespace pn::http
