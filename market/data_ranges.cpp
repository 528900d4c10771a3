#include "market/data_ranges.hpp"

#include "base/encoding.hpp"
#include "market/numbers.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace pn::market {
RangeAnswer parse_range(std::string_view field, std::uint64_t size) {
  const RangeAnswer whole{.kind = RangeKind::whole, .range = {.offset = 0, .size = size}};
  const RangeAnswer none{.kind = RangeKind::unsatisfiable, .range = {}};
  field = trimmed(field);
  if (!field.starts_with("bytes=")) return whole;
  field = trimmed(field.substr(6));
  const std::size_t dash = field.find('-');
  if (dash == std::string_view::npos) return whole;
  const std::string_view from_text = trimmed(field.substr(0, dash));
  const std::string_view to_text = trimmed(field.substr(dash + 1));
  const auto to = from_decimal(to_text);
  if (from_text.empty()) {  // the last bytes
    if (!to) return whole;
    const std::uint64_t count = std::min(*to, size);
    if (count == 0) return none;
    return {.kind = RangeKind::part, .range = {.offset = size - count, .size = count}};
  }
  const auto from = from_decimal(from_text);
  if (!from || (!to && !to_text.empty()) || (to && *to < *from)) return whole;
  if (*from >= size) return none;
  const std::uint64_t last = to ? std::min(*to, size - 1) : size - 1;
  return {.kind = RangeKind::part, .range = {.offset = *from, .size = last - *from + 1}};
}

bool etag_matches(std::string_view field, std::string_view etag) {
  while (!field.empty()) {
    const std::size_t comma = std::min(field.find(','), field.size());
    std::string_view one = trimmed(field.substr(0, comma));
    field.remove_prefix(std::min(comma + 1, field.size()));
    if (one.starts_with("W/")) one.remove_prefix(2);
    if (one == "*" || one == etag) return true;
  }
  return false;
}

}  // namespace pn::market
