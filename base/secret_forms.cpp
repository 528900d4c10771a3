#include "base/secret_forms.hpp"

#include "base/encoding.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pn {
namespace {

constexpr std::size_t kShortest = 6;     // of a form
constexpr std::size_t kLookedFor = 128;  // bytes of a secret
constexpr std::size_t kCutMatch = 8;     // of a secret that the end of the text cuts off

bool token_char(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         c == '-' || c == '.' || c == '~' || c == '+' || c == '/' || c == '=' || c == '%';
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// The same character in both base64 alphabets.
char plain64(char c) {
  if (c == '-') return '+';
  return c == '_' ? '/' : c;
}

/// One character of what was encoded, at some place: "%41", "\u0041", "\"", "\\\"".
struct Unit {
  char c = 0;
  std::size_t end = 0;  ///< 0: nothing encoded is here
  bool cut = false;     ///< the text ends within it
};

/// "%41", and with `times` 1 "%2541", which was encoded twice.
Unit percent_unit(std::string_view text, std::size_t at, int times) {
  std::size_t digits = at + 1;
  for (; times > 0; --times, digits += 2) {
    if (text.substr(digits, 2) != "25") return {.cut = digits + 2 > text.size()};
  }
  if (digits + 2 > text.size()) return {.cut = true};
  const int high = hex_value(text[digits]);
  const int low = hex_value(text[digits + 1]);
  if (high < 0 || low < 0) return {};
  return {.c = static_cast<char>(high * 16 + low), .end = digits + 2};
}

/// However often it is escaped.
Unit escape_unit(std::string_view text, std::size_t at) {
  std::size_t next = at;
  while (next < text.size() && text[next] == '\\') ++next;
  if (next == text.size()) return {.cut = true};
  if (text[next] != 'u') return {.c = text[next], .end = next + 1};
  if (next + 5 > text.size()) return {.cut = true};
  int value = 0;
  for (std::size_t i = next + 1; i < next + 5; ++i) {
    const int digit = hex_value(text[i]);
    if (digit < 0) return {.c = 'u', .end = next + 1};
    value = value * 16 + digit;
  }
  return value < 0x80 ? Unit{.c = static_cast<char>(value), .end = next + 5} : Unit{};
}

/// Every way to read one character at `at`.
std::array<Unit, 3> units(std::string_view text, std::size_t at) {
  std::array<Unit, 3> out{};
  switch (text[at]) {
    case '%':
      out[0] = percent_unit(text, at, 0);
      out[1] = percent_unit(text, at, 1);
      break;
    case '\\':
      out[0] = escape_unit(text, at);
      break;
    case '+':
      out[0] = {.c = ' ', .end = at + 1};
      break;
    default:
      break;
  }
  out[2] = {.c = text[at], .end = at + 1};
  return out;
}

bool same(const SecretForm& form, char here, char wanted) {
  return (form.base64 ? plain64(here) : here) == wanted;
}

/// Where a form did not go on: two ways to one place are one.
using Tried = std::set<std::pair<std::size_t, std::size_t>>;

std::size_t match_encoded(
    const SecretForm& form, std::size_t i, std::string_view text, std::size_t at, Tried& tried);

/// Where `form`, from its byte `i` on, ends in `text` when it goes on at `at`; kNoForm when it
/// does not. The end of the text may cut it off after kCutMatch bytes.
std::size_t match(
    const SecretForm& form, std::size_t i, std::string_view text, std::size_t at, Tried& tried) {
  for (; i < form.text.size(); ++i, ++at) {
    if (at == text.size()) return i >= kCutMatch ? at : kNoForm;
    const char here = text[at];
    if (here == '%' || here == '\\' || here == '+') return match_encoded(form, i, text, at, tried);
    if (!same(form, here, form.text[i])) return kNoForm;
  }
  return at;
}

/// The same, where the character at `at` may mean several.
std::size_t match_encoded(
    const SecretForm& form, std::size_t i, std::string_view text, std::size_t at, Tried& tried) {
  if (!tried.emplace(i, at).second) return kNoForm;
  const char wanted = form.text[i];
  for (const Unit& unit : units(text, at)) {
    if (unit.cut && i >= kCutMatch) return text.size();
    if (unit.end == 0 || !same(form, unit.c, wanted)) continue;
    const std::size_t end = match(form, i + 1, text, unit.end, tried);
    if (end != kNoForm) return end;
  }
  if (wanted != '\\' || text[at] != '\\') return kNoForm;
  // A run of backslashes is one, however often each is escaped.
  while (i < form.text.size() && form.text[i] == '\\') ++i;
  while (at < text.size() && text[at] == '\\') ++at;
  return match(form, i, text, at, tried);
}

/// Where the token ends that goes on at `at`.
std::size_t token_end(std::string_view text, std::size_t at) {
  while (at < text.size()) {
    if (token_char(text[at])) {
      ++at;
      continue;
    }
    if (text[at] != '\\') break;
    const Unit escaped = escape_unit(text, at);
    if (escaped.cut) return text.size();
    if (escaped.end == 0 || !token_char(escaped.c)) break;
    at = escaped.end;
  }
  return at;
}

/// What the first kFormKey bytes at `at` may mean, decoded; `bytes` holds the first `have` of them.
void decoded_keys(std::string_view text,
                  std::size_t at,
                  std::array<char, kFormKey>& bytes,
                  std::size_t have,
                  std::vector<std::uint32_t>& out) {
  if (have == kFormKey) {
    out.push_back(form_key(bytes.data()));
    return;
  }
  if (at >= text.size()) return;
  const bool backslash = text[at] == '\\';
  for (const Unit& unit : units(text, at)) {
    if (unit.end == 0) continue;
    bytes[have] = unit.c;
    decoded_keys(text, unit.end, bytes, have + 1, out);
  }
  if (!backslash) return;
  while (at < text.size() && text[at] == '\\') ++at;
  bytes[have] = '\\';
  decoded_keys(text, at, bytes, have + 1, out);
}

bool is_hex(std::string_view text) {
  return text.size() >= 32 &&
         std::all_of(text.begin(), text.end(), [](char c) { return hex_value(c) >= 0; });
}

void put(std::vector<SecretForm>& forms, std::string text, bool base64, bool goes_on) {
  if (text.size() < kShortest) return;
  if (base64) std::transform(text.begin(), text.end(), text.begin(), plain64);
  forms.push_back({.text = std::move(text), .base64 = base64, .goes_on = goes_on});
}

/// As JSON in ASCII has it ("\u00e4", "\ud83d\ude00"); what is no UTF-8 stays.
std::string ascii_escaped(std::string_view text, const char* digits) {
  std::string out;
  const auto put_unit = [&](std::uint32_t unit) {
    out += "\\u";
    for (int shift = 12; shift >= 0; shift -= 4)
      out += digits[(unit >> static_cast<unsigned>(shift)) & 15U];
  };
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const std::size_t more = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : lead >= 0xC0 ? 1 : 0;
    if (lead < 0x80 || more == 0 || i + more >= text.size()) {
      out += text[i++];
      continue;
    }
    std::uint32_t code = lead & (0x3FU >> more);
    for (std::size_t k = 1; k <= more; ++k)
      code = code << 6U | (static_cast<unsigned char>(text[i + k]) & 0x3FU);
    if (code < 0x10000) {
      put_unit(code);
    } else {
      put_unit(0xD800 + ((code - 0x10000) >> 10U));
      put_unit(0xDC00 + ((code - 0x10000) & 0x3FFU));
    }
    i += more + 1;
  }
  return out;
}

}  // namespace

std::vector<SecretForm> secret_forms(std::string_view secret) {
  std::vector<SecretForm> out;
  const bool longer = secret.size() > kLookedFor;
  if (longer) secret = secret.substr(0, kLookedFor);
  const bool prefixed = secret.starts_with("0x") || secret.starts_with("0X");
  const std::string_view digits = secret.substr(prefixed ? 2 : 0);
  if (is_hex(digits)) {
    std::string low(digits);
    std::string high(digits);
    for (char& c : low) c = "0123456789abcdef"[hex_value(c)];
    for (char& c : high) c = "0123456789ABCDEF"[hex_value(c)];
    if (low != digits) put(out, low, false, longer);
    if (high != digits) put(out, high, false, longer);
    secret = digits;
  }
  put(out, std::string(secret), false, longer);
  for (const char* alphabet : {"0123456789abcdef", "0123456789ABCDEF"}) {
    const std::string ascii = ascii_escaped(secret, alphabet);
    if (ascii != secret) put(out, ascii, false, longer);
  }
  // Base64 of it, wherever it stands in what was encoded: what its neighbours decide is left out.
  for (std::size_t before = 0; before < 3; ++before) {
    const std::string encoded = to_base64(std::string(before, '\0') + std::string(secret));
    const std::size_t known = (before + secret.size()) * 8 / 6;
    const std::size_t begin = before == 0 ? 0 : before + 1;
    put(out, encoded.substr(begin, known - begin), true, true);
  }
  return out;
}

std::uint32_t form_key(const char* bytes) {
  std::uint32_t key = 0;
  std::memcpy(&key, bytes, kFormKey);
  return key;
}

std::optional<std::uint32_t> plain_form_key(std::string_view text, std::size_t at) {
  const std::string_view here = text.substr(at, kFormKey);
  if (here.find_first_of("-_") == std::string_view::npos) return std::nullopt;
  std::array<char, kFormKey> plain{};
  std::transform(here.begin(), here.end(), plain.begin(), plain64);
  return form_key(plain.data());
}

std::vector<std::uint32_t> decoded_form_keys(std::string_view text, std::size_t at) {
  std::vector<std::uint32_t> out;
  if (text.substr(at, kFormKey).find_first_of("%\\+") == std::string_view::npos) return out;
  std::array<char, kFormKey> bytes{};
  decoded_keys(text, at, bytes, 0, out);
  return out;
}

std::size_t form_end(const SecretForm& form, std::string_view text, std::size_t at) {
  Tried tried;
  std::size_t end = match(form, 0, text, at, tried);
  if (end == kNoForm) return end;
  if (form.goes_on) end = token_end(text, end);
  // Escaped, its last backslash is several.
  const bool open_end = form.text.back() == '\\';
  while (open_end && end < text.size() && text[end] == '\\') ++end;
  return end;
}

}  // namespace pn
