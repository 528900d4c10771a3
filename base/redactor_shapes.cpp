#include "base/redactor.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>

namespace pn {
namespace {

constexpr std::size_t kKeyDigits = 64;    // of a private key in hex
constexpr std::size_t kLeastToken = 8;    // "Bearer of" is prose
constexpr std::size_t kLongestName = 32;  // of a parameter

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
bool digit(char c) { return c >= '0' && c <= '9'; }
bool letter(char c) { return lower(c) >= 'a' && lower(c) <= 'z'; }
bool hex(char c) { return digit(c) || (lower(c) >= 'a' && lower(c) <= 'f'); }
bool word(char c) { return digit(c) || letter(c) || c == '_' || c == '-'; }
/// RFC 6750 2.1 b64token, with what percent-encoding makes of it.
bool token(char c) {
  return word(c) || c == '.' || c == '~' || c == '+' || c == '/' || c == '=' || c == '%';
}
bool base64url(char c) { return word(c); }

template <class Member>
std::size_t run_end(std::string_view text, std::size_t at, Member member) {
  while (at < text.size() && member(text[at])) ++at;
  return at;
}

bool same(std::string_view text, std::size_t at, std::string_view lower_case) {
  if (text.size() - at < lower_case.size()) return false;
  return std::equal(lower_case.begin(),
                    lower_case.end(),
                    text.begin() + static_cast<long>(at),
                    [](char a, char b) { return a == lower(b); });
}

/// "Bearer abc", "Basic abc": the scheme stays.
Shape scheme(std::string_view text, std::size_t at) {
  if (at > 0 && word(text[at - 1])) return {};
  for (const std::string_view name : {"bearer", "basic"}) {
    if (!same(text, at, name)) continue;
    std::size_t begin = at + name.size();
    const std::size_t blanks = begin;
    while (begin < text.size() && (text[begin] == ' ' || text[begin] == '+')) ++begin;
    if (same(text, begin, "%20")) begin += 3;
    if (begin == blanks) return {};
    const std::size_t end = run_end(text, begin, token);
    if (end - begin < kLeastToken) return {};
    const std::string_view said = text.substr(begin, end - begin);
    // "Basic authentication" is prose; base64 of a name and a password is not all lower case.
    const bool prose = name == "basic" && std::all_of(said.begin(), said.end(), [](char c) {
                         return c >= 'a' && c <= 'z';
                       });
    return prose ? Shape{} : Shape{.hide = begin, .end = end};
  }
  return {};
}

/// header.claims.signature (RFC 7519), whose header begins with {" and so with eyJ. Also without
/// the signature, where the text was cut.
Shape jwt(std::string_view text, std::size_t at) {
  if (at > 0 && base64url(text[at - 1])) return {};
  const std::size_t header = run_end(text, at, base64url);
  if (header - at < 10 || header == text.size() || text[header] != '.') return {};
  std::size_t end = run_end(text, header + 1, base64url);
  if (end < text.size() && text[end] == '.') end = run_end(text, end + 1, base64url);
  return {.hide = at, .end = end};
}

Shape hex_key(std::string_view text, std::size_t at) {
  if (at > 0 && hex(text[at - 1])) return {};
  const std::size_t end = run_end(text, at, hex);
  return end - at >= kKeyDigits ? Shape{.hide = at, .end = end} : Shape{};
}

/// scheme://user:password@host: `at` is the colon.
Shape user_info(std::string_view text, std::size_t at) {
  if (text.substr(at, 3) != "://") return {};
  const std::size_t begin = at + 3;
  std::size_t last = 0;  // of several @ the last one counts
  for (std::size_t i = begin; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '@') last = i;
    if (c == '/' || c == '?' || c == '#' || c == ' ' || c == '"' || c == '\n') break;
  }
  return last > begin ? Shape{.hide = begin, .end = last} : Shape{};
}

constexpr std::array<std::string_view, 17> kNames{"access_token",
                                                  "api_key",
                                                  "app_secret",
                                                  "auth_token",
                                                  "client_secret",
                                                  "id_token",
                                                  "passwd",
                                                  "password",
                                                  "private_key",
                                                  "reg_secret",
                                                  "refresh_token",
                                                  "registration_credentials",
                                                  "secp256k1_privhex",
                                                  "secret",
                                                  "sig",
                                                  "signature",
                                                  "token"};

/// name=value, as in a query: `at` is the "=".
Shape parameter(std::string_view text, std::size_t at) {
  std::size_t begin = at;
  while (begin > 0 && at - begin <= kLongestName && word(text[begin - 1])) --begin;
  if (!is_secret_name(text.substr(begin, at - begin))) return {};
  const std::size_t value = at + 1;
  const std::size_t end = run_end(text, value, [](char c) {
    return c > ' ' && c != '&' && c != '"' && c != '\'' && c != ';' && c != ',' && c != ')' &&
           c != '}' && c != '>';
  });
  return end > value ? Shape{.hide = value, .end = end} : Shape{};
}

/// "name": "value", as in JSON, its quotes escaped or not: `at` is the colon.
Shape member(std::string_view text, std::size_t at) {
  std::size_t end = at;
  if (end == 0 || text[end - 1] != '"') return {};
  --end;
  const bool escaped = end > 0 && text[end - 1] == '\\';
  if (escaped) --end;
  std::size_t begin = end;
  while (begin > 0 && end - begin <= kLongestName && word(text[begin - 1])) --begin;
  if (!is_secret_name(text.substr(begin, end - begin))) return {};
  std::size_t value = run_end(text, at + 1, [](char c) { return c == ' '; });
  value = run_end(text, value, [](char c) { return c == '\\'; });
  if (value == text.size() || text[value] != '"') return {};
  ++value;
  std::size_t stop = value;
  while (stop < text.size() && text[stop] != '"') {
    // \" inside of a plain string goes on; in an escaped one it is the end.
    if (text[stop] == '\\' && !escaped) ++stop;
    ++stop;
  }
  stop = std::min(stop, text.size());
  if (escaped && stop > value && text[stop - 1] == '\\') --stop;
  return stop > value ? Shape{.hide = value, .end = stop} : Shape{};
}

}  // namespace

bool is_secret_name(std::string_view name) {
  if (name.empty() || name.size() > kLongestName) return false;
  for (const std::string_view known : kNames) {
    if (known.size() == name.size() && same(name, 0, known)) return true;
  }
  return same(name, 0, "x-amz-signature") || same(name, 0, "x-amz-security-token") ||
         same(name, 0, "x-amz-credential") || same(name, 0, "x-goog-signature") ||
         same(name, 0, "x-goog-credential");
}

Shape secret_shape(std::string_view text, std::size_t at, Redactor::Hex hex_is) {
  const char c = text[at];
  Shape out;
  switch (c) {
    case 'B':
    case 'b':
      out = scheme(text, at);
      break;
    case 'e':
      if (text.substr(at, 3) == "eyJ") out = jwt(text, at);
      break;
    case ':':
      out = user_info(text, at);
      if (out.end == 0) out = member(text, at);
      return out;
    case '=':
      return parameter(text, at);
    default:
      break;
  }
  if (out.end == 0 && hex_is == Redactor::Hex::key && hex(c)) out = hex_key(text, at);
  return out;
}

}  // namespace pn
