#pragma once

#include "base/result.hpp"
#include "http/types.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace pn::storage {

/// What a raw read asks for.
struct RawAsk {
  std::uint64_t from = 0;               ///< "Range: bytes=N-"; zero: no Range
  std::optional<std::uint64_t> size{};  ///< of the whole, where it is known
  std::string etag{};                   ///< what the bytes before `from` came under; empty: unknown
};

/// What the head of the answer says of the bytes that follow.
struct RawAnswer {
  std::uint64_t from = 0;               ///< RawAsk::from, or zero: the whole anew
  std::optional<std::uint64_t> size{};  ///< of the whole, as far as it says so
  bool framed = false;                  ///< HTTP itself tells where the body ends
  std::optional<std::string> sha256{};  ///< of the whole, 32 bytes
  std::string etag{};                   ///< a strong one; empty: none

  friend bool operator==(const RawAnswer&, const RawAnswer&) = default;
};

/// A range and the whole's size; nothing for "*".
struct ContentRange {
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  std::optional<std::uint64_t> size{};

  friend bool operator==(const ContentRange&, const ContentRange&) = default;
};

/// "bytes 2-4/10", "bytes 2-4/*" (RFC 9110 14.4); nothing when it is no such range.
std::optional<ContentRange> parse_content_range(std::string_view field);

/// The SHA-256 in a Content-Digest or Repr-Digest field (RFC 9530), as 32 bytes; nothing when there
/// is none.
std::optional<std::string> sha256_of_digest_field(std::string_view field);

/// Whether the answer, a 2xx, may be used for what was asked. Kind `retry`, code "range_wrong", for
/// a 206 of other bytes than those asked for; `restart`, code "item_changed", when it is not the
/// item of that size or ETag any more; `retry`, code "raw_status", for a success that carries no
/// bytes.
Result<RawAnswer> read_raw_head(int status, const http::Headers& headers, const RawAsk& ask);

}  // namespace pn::storage
