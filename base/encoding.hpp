#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pn {

/// Lower-case hex, no prefix.
std::string to_hex(std::span<const unsigned char> bytes);
/// Hex of any case, with or without "0x"; nothing for an odd length or another character.
std::optional<std::vector<unsigned char>> from_hex(std::string_view text);

/// RFC 4648 section 4, with padding.
std::string to_base64(std::string_view bytes);
std::optional<std::string> from_base64(std::string_view text);
/// RFC 4648 section 5 without padding, as JWTs use it.
std::string to_base64url(std::string_view bytes);
std::optional<std::string> from_base64url(std::string_view text);

/// Percent-encodes everything outside RFC 3986 "unreserved": safe as one path segment or one query
/// value.
std::string percent_encode(std::string_view text);
/// Nothing when a "%" is not followed by two hex digits. "+" stays "+".
std::optional<std::string> percent_decode(std::string_view text);

/// Decimal digits and nothing else, of a number below 2^64.
std::optional<std::uint64_t> from_decimal(std::string_view text);

}  // namespace pn
