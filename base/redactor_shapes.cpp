#include "base/redactor_shapes.hpp"

#include "base/redactor.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>

namespace pn {
namespace {

constexpr std::size_t kKeyDigits = 64;         // of a private key in hex
constexpr std::size_t kLeastToken = 8;         // "Bearer of" is prose
constexpr std::size_t kLongestName = 32;       // of a parameter
constexpr std::size_t kLongestPassword = 256;  // in a URL that it was not encoded for
/// The ends of names, without "_" and "-".
constexpr std::array<std::string_view, 16> kNames{"token",
                                                  "secret",
                                                  "password",
                                                  "passwd",
                                                  "pgpassword",
                                                  "apikey",
                                                  "privatekey",
                                                  "accesskey",
                                                  "registrationcredentials",
                                                  "secp256k1privhex",
                                                  "sig",
                                                  "signature",
                                                  "authorization",
                                                  "cookie",
                                                  "xamzcredential",
                                                  "xgoogcredential"};

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

/// Whether an escape ends at `at`: "\n", "\u0026", "%26". Its last letters are of no name.
bool escape_ends(std::string_view text, std::size_t at) {
  const auto digits = [&](std::size_t count) {
    return std::all_of(
        text.begin() + static_cast<long>(at - count), text.begin() + static_cast<long>(at), hex);
  };
  if (at >= 2 && text[at - 2] == '\\' &&
      std::string_view("nrt").find(text[at - 1]) != std::string_view::npos)
    return true;
  if (at >= 3 && text[at - 3] == '%' && digits(2)) return true;
  return at >= 6 && text[at - 6] == '\\' && text[at - 5] == 'u' && digits(4);
}

/// "Bearer abc", "Basic abc": the scheme stays.
Shape scheme(std::string_view text, std::size_t at) {
  if (at > 0 && word(text[at - 1]) && !escape_ends(text, at)) return {};
  for (const std::string_view name : {"bearer", "basic"}) {
    if (!same(text, at, name)) continue;
    std::size_t begin = at + name.size();
    const std::size_t blanks = begin;
    while (begin < text.size() && (text[begin] == ' ' || text[begin] == '+' || text[begin] == '\t'))
      ++begin;
    if (same(text, begin, "%20")) begin += 3;
    if (begin == blanks) return {};
    const std::size_t end = run_end(text, begin, token);
    if (end - begin < kLeastToken) return {};
    const std::string_view said = text.substr(begin, end - begin);
    // "Basic authentication" is prose; base64 of a name and a password is not all lower case.
    const bool prose = name == "basic" && std::all_of(said.begin() + 1, said.end(), [](char c) {
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

/// "host", "host:3128", "[::1]:80": and so no name and password that a '/' cuts in two.
bool is_authority(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  return text.starts_with('[') || colon == std::string_view::npos ||
         std::all_of(text.begin() + static_cast<long>(colon) + 1, text.end(), digit);
}

/// scheme://user:password@host, its slashes escaped or not: `at` is the colon.
Shape user_info(std::string_view text, std::size_t at) {
  std::size_t begin = at + 3;
  if (text.substr(at, 5) == ":\\/\\/") {
    begin = at + 5;
  } else if (text.substr(at, 3) != "://") {
    return {};
  }
  std::size_t last = 0;  // of several @ the last one counts
  std::size_t limit = text.size();
  for (std::size_t i = begin; i < limit; ++i) {
    const char c = text[i];
    if (c == '@') last = i;
    if (static_cast<unsigned char>(c) <= ' ' || c == '"' || c == '\'' || c == '<' || c == '>')
      break;
    if (c != '/' && c != '?' && c != '#') continue;
    if (last > 0 || limit < text.size() || is_authority(text.substr(begin, i - begin))) {
      if (last > 0 || limit == text.size()) break;
      continue;
    }
    limit =
        std::min(text.size(), i + kLongestPassword);  // a password that should have been encoded
  }
  return last > begin ? Shape{.hide = begin, .end = last} : Shape{};
}

/// What a string in quotes holds that begins at `at`, its quotes escaped or not; else nothing.
Shape quoted(std::string_view text, std::size_t at, bool lines) {
  const std::size_t open = run_end(text, at, [](char c) { return c == '\\'; });
  if (open == text.size() || (text[open] != '"' && text[open] != '\'')) return {};
  const bool escaped = open > at;
  std::size_t stop = open + 1;
  while (stop < text.size() && text[stop] != text[open] && (lines || text[stop] != '\n')) {
    // \" inside of a plain string goes on; in an escaped one it is the end.
    if (text[stop] == '\\' && !escaped) ++stop;
    ++stop;
  }
  stop = std::min(stop, text.size());
  while (escaped && stop > open + 1 && text[stop - 1] == '\\') --stop;
  return stop > open + 1 ? Shape{.hide = open + 1, .end = stop} : Shape{};
}

/// Whether a secret's name ends at `end`.
bool named(std::string_view text, std::size_t end) {
  std::size_t begin = end;
  while (begin > 0 && end - begin <= kLongestName && word(text[begin - 1])) {
    if (escape_ends(text, begin) && is_secret_name(text.substr(begin, end - begin))) return true;
    --begin;
  }
  return is_secret_name(text.substr(begin, end - begin));
}

/// name=value, name='value', name = value: `at` is the "=".
Shape parameter(std::string_view text, std::size_t at) {
  std::size_t end_of_name = at;
  while (end_of_name > 0 && at - end_of_name < 4 && text[end_of_name - 1] == ' ') --end_of_name;
  if (!named(text, end_of_name)) return {};
  std::size_t value = at + 1;
  if (end_of_name < at) value = run_end(text, value, [](char c) { return c == ' '; });
  const std::size_t quote = run_end(text, value, [](char c) { return c == '\\'; });
  if (quote < text.size() && (text[quote] == '"' || text[quote] == '\'')) {
    // Else it ends what the "=" stands in: {"error":"bad token=","code":1}
    const bool opens = quote + 1 < text.size() &&
                       std::string_view(",}]:").find(text[quote + 1]) == std::string_view::npos;
    return opens ? quoted(text, value, false) : Shape{};
  }
  std::size_t end = run_end(text, value, [](char c) {
    return static_cast<unsigned char>(c) > ' ' && c != '&' && c != '"' && c != '\'' && c != ';' &&
           c != ',' && c != ')' && c != '}' && c != '>';
  });
  if (end < text.size() && (text[end] == '"' || text[end] == '\'')) {
    while (end > value && text[end - 1] == '\\') --end;  // of the quote
  }
  return end > value ? Shape{.hide = value, .end = end} : Shape{};
}

/// name%3Dvalue: `at` is the "%".
Shape encoded_parameter(std::string_view text, std::size_t at) {
  if (!same(text, at, "%3d") || !named(text, at)) return {};
  const std::size_t value = at + 3;
  std::size_t end = value;
  while (end < text.size() && token(text[end]) && !same(text, end, "%26") &&
         !same(text, end, "%20"))
    ++end;
  return end > value ? Shape{.hide = value, .end = end} : Shape{};
}

/// "name": "value", as in JSON or Python, its quotes escaped or not: `at` is the colon.
Shape member(std::string_view text, std::size_t at) {
  std::size_t end = at;
  if (end == 0 || (text[end - 1] != '"' && text[end - 1] != '\'')) return {};
  --end;
  while (end > 0 && text[end - 1] == '\\') --end;
  if (!named(text, end)) return {};
  return quoted(
      text,
      run_end(text, at + 1, [](char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }),
      true);
}

/// "Authorization: Token abc", "Cookie: a=b": `at` is the colon. The scheme stays; Bearer and Basic
/// are scheme()'s.
Shape header(std::string_view text, std::size_t at) {
  std::size_t name = at;
  while (name > 0 && at - name <= kLongestName && word(text[name - 1]) && !escape_ends(text, name))
    --name;
  const auto is = [&](std::string_view known) {
    return known.size() == at - name && same(text, name, known);
  };
  if (!is("authorization") && !is("proxy-authorization") && !is("cookie") && !is("set-cookie") &&
      !is("x-api-key") && !is("x-auth-token") && !is("x-amz-security-token")) {
    return {};
  }
  std::size_t begin = run_end(text, at + 1, [](char c) { return c == ' ' || c == '\t'; });
  if (same(text, begin, "bearer") || same(text, begin, "basic")) return {};
  const std::size_t scheme_end = run_end(text, begin, word);
  if (scheme_end < text.size() && text[scheme_end] == ' ') begin = scheme_end + 1;
  const char quote =
      name > 0 && (text[name - 1] == '"' || text[name - 1] == '\'') ? text[name - 1] : '\n';
  std::size_t end = begin;
  bool plain = true;  // prose
  for (; end < text.size() && text[end] != '\n' && text[end] != '\r' && text[end] != '\\' &&
         text[end] != quote;
       ++end) {
    plain = plain && !digit(text[end]) && text[end] != '=';
    if (plain && end - begin == kLongestPassword) return {};
  }
  return plain ? Shape{} : Shape{.hide = begin, .end = end};
}

/// -----BEGIN EC PRIVATE KEY-----
Shape pem(std::string_view text, std::size_t at) {
  constexpr std::string_view kBegin = "-----BEGIN ";
  constexpr std::string_view kOf = "PRIVATE KEY-----";
  if (!text.substr(at).starts_with(kBegin)) return {};
  const std::size_t of = text.substr(at, 64).find(kOf);
  if (of == std::string_view::npos) return {};
  const std::size_t begin = at + of + kOf.size();
  const std::size_t end = std::min(text.find("-----END", begin), text.size());
  return end > begin ? Shape{.hide = begin, .end = end} : Shape{};
}

}  // namespace

bool is_secret_name(std::string_view name) {
  if (name.size() > kLongestName + 1) return false;
  for (const std::string_view known : kNames) {
    std::size_t i = name.size();
    std::size_t j = known.size();
    std::size_t first = i;
    while (i > 0 && j > 0) {
      const char c = name[i - 1];
      if (lower(c) == known[j - 1]) {
        first = --i;
        --j;
      } else if ((c == '_' || c == '-') && i < name.size()) {
        --i;
      } else {
        break;
      }
    }
    if (j > 0) continue;
    i = first;
    const bool hump = i > 0 && name[i] != lower(name[i]) && name[i - 1] == lower(name[i - 1]) &&
                      letter(name[i - 1]);
    if (i == 0 || name[i - 1] == '_' || name[i - 1] == '-' || hump) return true;
  }
  return false;
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
      if (out.end == 0) out = header(text, at);
      return out;
    case '=':
      return parameter(text, at);
    case '%':
      return encoded_parameter(text, at);
    case '-':
      return pem(text, at);
    default:
      break;
  }
  if (out.end == 0 && hex_is == Redactor::Hex::key && hex(c)) out = hex_key(text, at);
  return out;
}

}  // namespace pn
