#include "base/redactor.hpp"

#include "base/encoding.hpp"
#include "base/secret.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace pn {
namespace {

constexpr std::size_t kShortest = 6;     // of a secret
constexpr std::size_t kLookedFor = 128;  // bytes of a secret
constexpr std::size_t kCutMatch = 8;     // of a secret that the end of the text cuts off
constexpr std::size_t kKey = 4;          // bytes by which needles are found
constexpr std::size_t kMostKept = 64;    // secrets
constexpr std::size_t kMostAdded = 512;  // secrets
constexpr int kMostPasses = 8;           // over one text
constexpr std::size_t kSieve = 16 * 1024;
constexpr std::string_view kInstead = "[redacted]";
constexpr std::string_view kCut = "...";  // where somebody cut a text

/// One form of a secret.
struct Needle {
  std::string text;
  bool base64 = false;   ///< the two alphabets are one
  bool goes_on = false;  ///< the secret is longer: what follows of the token belongs to it
};

using Group = std::vector<std::unique_ptr<Needle>>;  // stable addresses: the index points at them

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

bool same(const Needle& needle, char here, char wanted) {
  return (needle.base64 ? plain64(here) : here) == wanted;
}

/// No place. An optional would say it better, but g++ 12 takes its return for uninitialized.
constexpr std::size_t kNoMatch = std::string_view::npos;

/// Where a needle did not go on: two ways to one place are one.
using Tried = std::set<std::pair<std::size_t, std::size_t>>;

std::size_t match_encoded(
    const Needle& needle, std::size_t i, std::string_view text, std::size_t at, Tried& tried);

/// Where `needle`, from its byte `i` on, ends in `text` when it goes on at `at`; kNoMatch when it
/// does not. The end of the text may cut it off after kCutMatch bytes.
std::size_t match(
    const Needle& needle, std::size_t i, std::string_view text, std::size_t at, Tried& tried) {
  for (; i < needle.text.size(); ++i, ++at) {
    if (at == text.size()) return i >= kCutMatch ? at : kNoMatch;
    const char here = text[at];
    if (here == '%' || here == '\\' || here == '+')
      return match_encoded(needle, i, text, at, tried);
    if (!same(needle, here, needle.text[i])) return kNoMatch;
  }
  return at;
}

/// The same, where the character at `at` may mean several.
std::size_t match_encoded(
    const Needle& needle, std::size_t i, std::string_view text, std::size_t at, Tried& tried) {
  if (!tried.emplace(i, at).second) return kNoMatch;
  const char wanted = needle.text[i];
  for (const Unit& unit : units(text, at)) {
    if (unit.cut && i >= kCutMatch) return text.size();
    if (unit.end == 0 || !same(needle, unit.c, wanted)) continue;
    const std::size_t end = match(needle, i + 1, text, unit.end, tried);
    if (end != kNoMatch) return end;
  }
  if (wanted != '\\' || text[at] != '\\') return kNoMatch;
  // A run of backslashes is one, however often each is escaped.
  while (i < needle.text.size() && needle.text[i] == '\\') ++i;
  while (at < text.size() && text[at] == '\\') ++at;
  return match(needle, i, text, at, tried);
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

std::uint32_t key_of(const char* bytes) {
  std::uint32_t key = 0;
  std::memcpy(&key, bytes, kKey);
  return key;
}

std::size_t sieve_at(std::uint32_t key) { return (key * 2654435761U) >> 18U; }
static_assert((std::size_t{1} << 14U) == kSieve);

/// What the first kKey bytes at `at` may mean, decoded; `bytes` holds the first `have` of them.
void decoded_keys(std::string_view text,
                  std::size_t at,
                  std::array<char, kKey>& bytes,
                  std::size_t have,
                  std::vector<std::uint32_t>& out) {
  if (have == kKey) {
    out.push_back(key_of(bytes.data()));
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

void put(Group& group, std::string text, bool base64, bool goes_on) {
  if (text.size() < kShortest) return;
  auto needle = std::make_unique<Needle>();
  if (base64) std::transform(text.begin(), text.end(), text.begin(), plain64);
  needle->text = std::move(text);
  needle->base64 = base64;
  needle->goes_on = goes_on;
  group.push_back(std::move(needle));
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

/// Every form in which `secret` is looked for.
Group forms(std::string_view secret) {
  Group out;
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

}  // namespace

struct Redactor::Impl {
  struct Added {
    std::size_t hash;
    Group group;
  };

  mutable std::shared_mutex mutex;  // every loop and pool logs
  std::atomic<bool> any{false};
  std::vector<Added> kept;
  std::deque<Added> added;
  std::unordered_map<std::uint32_t, std::vector<const Needle*>> index;
  std::vector<std::uint16_t> sieve = std::vector<std::uint16_t>(kSieve, 0);

  static std::size_t hash_of(std::string_view secret) {
    return std::hash<std::string_view>()(secret);
  }
  template <class Groups>
  static bool has(const Groups& groups, std::size_t hash) {
    return std::any_of(
        groups.begin(), groups.end(), [&](const Added& one) { return one.hash == hash; });
  }

  void enter(const Group& group) {
    for (const auto& needle : group) {
      const std::uint32_t key = key_of(needle->text.data());
      index[key].push_back(needle.get());
      ++sieve[sieve_at(key)];
    }
    any = true;
  }
  void leave(const Group& group) {
    for (const auto& needle : group) {
      const std::uint32_t key = key_of(needle->text.data());
      const auto at = index.find(key);
      std::erase(at->second, needle.get());
      if (at->second.empty()) index.erase(at);
      --sieve[sieve_at(key)];
    }
  }

  [[nodiscard]] std::optional<std::size_t> find(std::uint32_t key,
                                                std::string_view text,
                                                std::size_t at) const {
    if (sieve[sieve_at(key)] == 0) return std::nullopt;
    const auto bucket = index.find(key);
    if (bucket == index.end()) return std::nullopt;
    std::optional<std::size_t> best;
    for (const Needle* needle : bucket->second) {
      Tried tried;
      std::size_t end = match(*needle, 0, text, at, tried);
      if (end == kNoMatch) continue;
      if (needle->goes_on) end = token_end(text, end);
      // Escaped, its last backslash is several.
      const bool open_end = needle->text.back() == '\\';
      while (open_end && end < text.size() && text[end] == '\\') ++end;
      if (!best || *best < end) best = end;
    }
    return best;
  }

  /// Where a known secret that begins at `at` ends.
  [[nodiscard]] std::optional<std::size_t> known(std::string_view text, std::size_t at) const {
    if (text.size() - at < kKey) return std::nullopt;
    // Within a run of backslashes nothing begins that did not at its first.
    if (text[at] == '\\' && at > 0 && text[at - 1] == '\\') return std::nullopt;
    std::optional<std::size_t> end = find(key_of(text.data() + at), text, at);
    if (end) return end;
    const auto here = text.substr(at, kKey);
    const bool base64_url = here.find_first_of("-_") != std::string_view::npos;
    if (base64_url) {
      std::string plain(here);
      std::transform(plain.begin(), plain.end(), plain.begin(), plain64);
      end = find(key_of(plain.data()), text, at);
      if (end) return end;
    }
    if (here.find_first_of("%\\+") == std::string_view::npos) return std::nullopt;
    std::array<char, kKey> bytes{};
    std::vector<std::uint32_t> keys;
    decoded_keys(text, at, bytes, 0, keys);
    for (const std::uint32_t key : keys) {
      end = find(key, text, at);
      if (end) return end;
    }
    return std::nullopt;
  }
};

Redactor::Redactor() : impl_(std::make_unique<Impl>()) {}
Redactor::~Redactor() = default;

void Redactor::keep(const Secret<std::string>& secret) {
  if (secret.reveal().size() < kShortest) return;
  const std::size_t hash = Impl::hash_of(secret.reveal());
  const std::unique_lock lock(impl_->mutex);
  if (Impl::has(impl_->kept, hash) || impl_->kept.size() == kMostKept) return;
  impl_->kept.push_back({.hash = hash, .group = forms(secret.reveal())});
  impl_->enter(impl_->kept.back().group);
}

void Redactor::keep_password_of(const Secret<std::string>& url) {
  const std::string& text = url.reveal();
  const std::size_t scheme = text.find("://");
  const std::size_t begin = scheme == std::string::npos ? 0 : scheme + 3;
  const std::size_t at = text.rfind('@');
  const std::size_t colon = text.find(':', begin);
  if (at == std::string::npos || colon >= at) return;
  const std::string password = text.substr(colon + 1, at - colon - 1);
  keep(Secret<std::string>(password));
  // As it is sent.
  const std::optional<std::string> decoded = percent_decode(password);
  if (decoded) keep(Secret<std::string>(*decoded));
}

void Redactor::add(const Secret<std::string>& secret) {
  if (secret.reveal().size() < kShortest) return;
  const std::size_t hash = Impl::hash_of(secret.reveal());
  const std::unique_lock lock(impl_->mutex);
  if (Impl::has(impl_->added, hash) || Impl::has(impl_->kept, hash)) return;
  if (impl_->added.size() == kMostAdded) {
    impl_->leave(impl_->added.front().group);
    impl_->added.pop_front();
  }
  impl_->added.push_back({.hash = hash, .group = forms(secret.reveal())});
  impl_->enter(impl_->added.back().group);
}

void Redactor::apply(std::string& text, Hex hex) const {
  apply_whole(text, hex);
  if (text.find(kCut) == std::string::npos) return;
  // Each piece by itself, because a secret that was cut off is one at the end of a text alone.
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t cut = std::min(text.find(kCut, at), text.size());
    std::string piece = text.substr(at, cut - at);
    apply_whole(piece, hex);
    out += piece;
    out += std::string_view(text).substr(cut, kCut.size());
    at = cut + kCut.size();
  }
  text = std::move(out);
}

void Redactor::apply_whole(std::string& text, Hex hex) const {
  // What is hidden may leave a shape of what stood around it: in "://a:token=b/c;d@e" a user's name
  // would end at the "/", and has none to end at when that is gone.
  for (int pass = 0; pass < kMostPasses; ++pass) {
    std::optional<std::string> cleaner = apply_once(text, hex);
    if (!cleaner || *cleaner == text) return;
    text = *std::move(cleaner);
  }
}

/// Nothing where there is nothing to hide.
std::optional<std::string> Redactor::apply_once(std::string_view text, Hex hex) const {
  std::string out;
  std::size_t copied = 0;
  const bool any = impl_->any;
  std::shared_lock lock(impl_->mutex, std::defer_lock);
  if (any) lock.lock();
  for (std::size_t at = 0; at < text.size();) {
    if (text[at] == kInstead.front() && text.substr(at).starts_with(kInstead)) {
      at += kInstead.size();
      continue;
    }
    Shape found;
    if (any) {
      const std::optional<std::size_t> end = impl_->known(text, at);
      if (end) found = {.hide = at, .end = *end};
    }
    if (found.end == 0) found = secret_shape(text, at, hex);
    if (found.end == 0) {
      ++at;
      continue;
    }
    out.append(text.substr(copied, found.hide - copied));
    out += kInstead;
    copied = at = found.end;
  }
  if (copied == 0) return std::nullopt;
  out.append(text.substr(copied));
  return out;
}

std::size_t Redactor::size() const {
  const std::shared_lock lock(impl_->mutex);
  std::size_t out = 0;
  for (const auto& one : impl_->kept) out += one.group.size();
  for (const auto& one : impl_->added) out += one.group.size();
  return out;
}

}  // namespace pn
