#include "market/version.hpp"

#include <cstddef>
#include <string_view>

namespace pn::market {
namespace {

bool digit(char c) { return c >= '0' && c <= '9'; }

/// A number without leading zeros; false when there is none.
bool take_number(std::string_view& text) {
  std::size_t length = 0;
  while (length < text.size() && digit(text[length])) ++length;
  if (length == 0 || (length > 1 && text[0] == '0')) return false;
  text.remove_prefix(length);
  return true;
}

bool take(std::string_view& text, char wanted) {
  if (text.empty() || text.front() != wanted) return false;
  text.remove_prefix(1);
  return true;
}

/// Dot-separated, none of them empty, of [0-9A-Za-z-].
bool identifiers(std::string_view text) {
  std::size_t length = 0;
  for (const char c : text) {
    if (c == '.') {
      if (length == 0) return false;
      length = 0;
      continue;
    }
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (!digit(c) && !letter && c != '-') return false;
    ++length;
  }
  return length > 0;
}

}  // namespace

bool is_semver(std::string_view text) {
  if (!take_number(text) || !take(text, '.') || !take_number(text) || !take(text, '.') ||
      !take_number(text)) {
    return false;
  }
  if (const auto plus = text.find('+'); plus != std::string_view::npos) {
    if (!identifiers(text.substr(plus + 1))) return false;
    text = text.substr(0, plus);
  }
  return text.empty() || (take(text, '-') && identifiers(text));
}

}  // namespace pn::market
