#include "base/awaitable.hpp"
#include "base/json.hpp"
#include "base/result.hpp"
#include "http/server.hpp"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <boost/asio/ip/address.hpp>
#include <boost/beast/core/string.hpp>
#include <nlohmann/json.hpp>

namespace pn::http {

std::optional<std::string> ServerRequest::query_value(std::string_view key) const {
  const auto at = std::ranges::find(query, key, &std::pair<std::string, std::string>::first);
  if (at == query.end()) return std::nullopt;
  return at->second;
}

bool ServerRequest::has_query(std::string_view key) const { return query_value(key).has_value(); }

std::optional<std::string> ServerRequest::bearer() const {
  const auto value = headers.find("authorization");
  constexpr std::size_t kScheme = 7;  // "Bearer "
  if (!value || value->size() <= kScheme) return std::nullopt;
  if (!boost::beast::iequals(value->substr(0, kScheme), "bearer ")) return std::nullopt;
  std::string_view token = value->substr(kScheme);
  token.remove_prefix(std::min(token.find_first_not_of(' '), token.size()));
  if (token.empty()) return std::nullopt;
  return std::string(token);
}

ServerResponse ServerResponse::json(int status, std::string body) {
  ServerResponse out;
  out.status = status;
  out.headers.add("Content-Type", "application/json");
  out.body = std::move(body);
  return out;
}

ServerResponse ServerResponse::text(int status, std::string body, std::string_view content_type) {
  ServerResponse out;
  out.status = status;
  out.headers.add("Content-Type", content_type);
  out.body = std::move(body);
  return out;
}

ServerResponse ServerResponse::empty(int status) {
  ServerResponse out;
  out.status = status;
  return out;
}

ServerResponse error_response(int status, std::string_view code, std::string_view message) {
  const Json body{{"error", {{"code", code}, {"message", message}}}};
  return ServerResponse::json(status, dump_json(body));
}

Awaitable<Result<std::string>> read_body(ServerRequest& request, std::uint64_t limit) {
  const auto too_large = [limit] {
    return Error(ErrorKind::rejected,
                 "body_too_large",
                 "the request body may hold at most " + std::to_string(limit) + " bytes here");
  };
  const std::optional<std::uint64_t> size = request.body->size();
  if (size && *size > limit) co_return too_large();
  constexpr std::size_t kPiece = 16 * 1024;
  std::string out;
  std::size_t filled = 0;
  for (;;) {
    if (size && filled == *size) break;
    // A promised length is not believed with memory before its bytes come.
    const std::size_t room = size ? std::min<std::size_t>(*size - filled, kPiece * 4) : kPiece;
    out.resize(filled + room);
    const std::span<char> piece(out.data() + filled, room);
    Result<std::size_t> got = co_await request.body->read(piece);
    if (!got) co_return std::move(got).error();
    if (*got == 0) break;
    filled += *got;
    if (filled > limit) co_return too_large();
  }
  out.resize(filled);
  co_return out;
}

std::string local_url(const ListenAddress& listen, std::uint16_t port) {
  std::string host = listen.address;
  // "::" is IPv4 too (http/server.cpp), and many a container has no IPv6.
  if (host.empty() || host == "0.0.0.0" || host == "::") host = "127.0.0.1";
  if (host.find(':') != std::string::npos) host = "[" + host + "]";
  return "http://" + host + ":" + std::to_string(port);
}

Result<ListenAddress> parse_listen_address(std::string_view text) {
  const auto wrong = [&](std::string_view what) {
    return Error(ErrorKind::rejected,
                 "listen_address",
                 "the address '" + std::string(text) + "' " + std::string(what) +
                     "; use HOST:PORT such as 127.0.0.1:8480, [::1]:8480 or :8480");
  };
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return wrong("has no port");
  std::string_view host = text.substr(0, colon);
  const std::string_view digits = text.substr(colon + 1);

  std::uint32_t port = 0;
  const auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (digits.empty() || failed != std::errc() || end != digits.data() + digits.size() ||
      port > 65535) {
    return wrong("has a port that is no number from 0 to 65535");
  }
  ListenAddress out;
  out.port = static_cast<std::uint16_t>(port);
  if (host.empty()) {
    out.address = "::";
    return out;
  }
  const bool bracketed = host.size() >= 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  if (host == "localhost") host = "127.0.0.1";
  boost::system::error_code ec;
  const auto address = asio::ip::make_address(std::string(host), ec);
  if (ec) return wrong("has a host that is no IP address");
  if (address.is_v6() && !bracketed) return wrong("has an IPv6 address without brackets");
  if (address.is_v4() && bracketed) return wrong("has an IPv4 address in brackets");
  out.address = address.to_string();
  return out;
}

}  // namespace pn::http
