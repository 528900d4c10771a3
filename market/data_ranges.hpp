#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace pn::market {

struct ByteRange {
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
  friend bool operator==(const ByteRange&, const ByteRange&) = default;
};

enum class RangeKind { whole, part, unsatisfiable };
struct RangeAnswer {
  RangeKind kind = RangeKind::whole;
  ByteRange range{};
};

/// One range of a Range field (RFC 9110 14.2): "bytes=0-99", "bytes=100-", "bytes=-5". What is no
/// such thing, or more than one range, is ignored: the whole.
RangeAnswer parse_range(std::string_view field, std::uint64_t size);

/// Whether If-None-Match names `etag` (quoted) or is "*". Weak comparison, RFC 9110 8.8.3.2.
bool etag_matches(std::string_view field, std::string_view etag);

}  // namespace pn::market
