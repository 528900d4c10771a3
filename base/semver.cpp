#include "base/semver.hpp"

#include <algorithm>
#include <cstddef>
#include <string_view>

namespace pn {
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

bool identifier_char(char c) {
  return digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-';
}

enum class Numbers { any, without_leading_zeros };

/// Dot-separated, none of them empty, of [0-9A-Za-z-].
bool identifiers(std::string_view text, Numbers numbers) {
  for (;;) {
    const std::size_t dot = text.find('.');
    const std::string_view part = text.substr(0, dot);
    if (part.empty() || !std::all_of(part.begin(), part.end(), identifier_char)) return false;
    if (numbers == Numbers::without_leading_zeros && part.size() > 1 && part.front() == '0' &&
        std::all_of(part.begin(), part.end(), digit)) {
      return false;
    }
    if (dot == std::string_view::npos) return true;
    text.remove_prefix(dot + 1);
  }
}

}  // namespace

bool is_semver(std::string_view text) {
  if (!take_number(text) || !take(text, '.') || !take_number(text) || !take(text, '.') ||
      !take_number(text)) {
    return false;
  }
  if (const auto plus = text.find('+'); plus != std::string_view::npos) {
    if (!identifiers(text.substr(plus + 1), Numbers::any)) return false;
    text = text.substr(0, plus);
  }
  return text.empty() || (take(text, '-') && identifiers(text, Numbers::without_leading_zeros));
}

}  // namespace pn
