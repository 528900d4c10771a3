#pragma once

#include "base/result.hpp"

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pn::http {

using QueryPairs = std::vector<std::pair<std::string, std::string>>;

/// Decoded "a=1&b=2": percent-decoded, "+" is a space, empty pieces skipped. Order and repeats are
/// kept.
QueryPairs parse_query(std::string_view query);

/// An absolute http or https URL (RFC 3986), no user info, no fragment. A value.
class Url {
 public:
  /// Kind `rejected`, code "url_syntax", naming what is wrong.
  static Result<Url> parse(std::string_view text);

  [[nodiscard]] const std::string& scheme() const { return scheme_; }  ///< "http" or "https"
  [[nodiscard]] const std::string& host() const {
    return host_;
  }  ///< lower case; IPv6 without brackets
  [[nodiscard]] std::uint16_t port() const { return port_; }  ///< the scheme's default filled in
  [[nodiscard]] const std::string& path() const {
    return path_;
  }  ///< as sent: encoded, "/" at least
  [[nodiscard]] const std::string& query() const { return query_; }  ///< as sent, without "?"

  /// "https://host[:port]": equal for two URLs exactly when credentials may go from one to the
  /// other.
  [[nodiscard]] std::string origin() const;
  [[nodiscard]] std::string str() const;

  /// Segments put after the path, each percent-encoded whole; a trailing "/" of the base makes no
  /// empty segment, and a prefix is never dropped: base ".../v1/" + {"tasks"} = ".../v1/tasks".
  /// Drops the query.
  [[nodiscard]] Url append(std::initializer_list<std::string_view> segments) const;
  /// Adds one pair, encoded. A value-less key ("?uploads") has an empty value.
  [[nodiscard]] Url with_query(std::string_view key, std::string_view value) const;
  /// Another path on the same origin. `path` is taken as it stands ("/api/v1/...").
  [[nodiscard]] Url with_path(std::string_view path) const;

  /// localhost, *.localhost, 127.0.0.0/8, ::1
  [[nodiscard]] bool is_loopback() const;

  friend bool operator==(const Url&, const Url&) = default;

 private:
  Url() = default;
  std::string scheme_;
  std::string host_;
  std::uint16_t port_ = 0;
  std::string path_;
  std::string query_;
};

}  // namespace pn::http
