#include "base/redactor.hpp"

#include "base/encoding.hpp"
#include "base/redactor_shapes.hpp"
#include "base/secret.hpp"
#include "base/secret_forms.hpp"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace pn {
namespace {

constexpr std::size_t kShortest = 6;     // of a secret
constexpr std::size_t kMostKept = 64;    // secrets
constexpr std::size_t kMostAdded = 512;  // secrets
constexpr int kMostPasses = 8;           // over one text
constexpr std::size_t kSieve = 16 * 1024;
constexpr std::string_view kInstead = "[redacted]";
constexpr std::string_view kCut = "...";  // where somebody cut a text

std::size_t sieve_at(std::uint32_t key) { return (key * 2654435761U) >> 18U; }
static_assert((std::size_t{1} << 14U) == kSieve);

/// Whether a secret stood at `at`.
bool is_instead(std::string_view text, std::size_t at) {
  return text[at] == kInstead.front() && text.substr(at).starts_with(kInstead);
}

}  // namespace

struct Redactor::Impl {
  struct Added {
    std::size_t hash;
    std::vector<SecretForm> forms;  // never changed: the index points at them
  };

  mutable std::shared_mutex mutex;  // every loop and pool logs
  std::atomic<bool> any{false};
  std::vector<Added> kept;
  std::deque<Added> added;
  std::unordered_map<std::uint32_t, std::vector<const SecretForm*>> index;
  std::vector<std::uint16_t> sieve = std::vector<std::uint16_t>(kSieve, 0);

  static std::size_t hash_of(std::string_view secret) {
    return std::hash<std::string_view>()(secret);
  }
  template <class Groups>
  static bool has(const Groups& groups, std::size_t hash) {
    return std::any_of(
        groups.begin(), groups.end(), [&](const Added& one) { return one.hash == hash; });
  }

  void enter(const std::vector<SecretForm>& forms) {
    for (const SecretForm& form : forms) {
      const std::uint32_t key = form_key(form.text.data());
      index[key].push_back(&form);
      ++sieve[sieve_at(key)];
    }
    any = true;
  }
  void leave(const std::vector<SecretForm>& forms) {
    for (const SecretForm& form : forms) {
      const std::uint32_t key = form_key(form.text.data());
      const auto at = index.find(key);
      std::erase(at->second, &form);
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
    for (const SecretForm* form : bucket->second) {
      const std::size_t end = form_end(*form, text, at);
      if (end != kNoForm && (!best || *best < end)) best = end;
    }
    return best;
  }

  /// Where a known secret that begins at `at` ends.
  [[nodiscard]] std::optional<std::size_t> known(std::string_view text, std::size_t at) const {
    if (text.size() - at < kFormKey) return std::nullopt;
    // Within a run of backslashes nothing begins that did not at its first.
    if (text[at] == '\\' && at > 0 && text[at - 1] == '\\') return std::nullopt;
    std::optional<std::size_t> end = find(form_key(text.data() + at), text, at);
    if (end) return end;
    const std::optional<std::uint32_t> plain = plain_form_key(text, at);
    if (plain) end = find(*plain, text, at);
    if (end) return end;
    for (const std::uint32_t key : decoded_form_keys(text, at)) {
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
  impl_->kept.push_back({.hash = hash, .forms = secret_forms(secret.reveal())});
  impl_->enter(impl_->kept.back().forms);
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
    impl_->leave(impl_->added.front().forms);
    impl_->added.pop_front();
  }
  impl_->added.push_back({.hash = hash, .forms = secret_forms(secret.reveal())});
  impl_->enter(impl_->added.back().forms);
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
    if (is_instead(text, at)) {
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
    // What stays of a shape, such as the label of a key, may hold a secret that is known.
    for (++at; any && at < found.hide;) {
      if (is_instead(text, at)) {
        at += kInstead.size();
        continue;
      }
      const std::optional<std::size_t> end = impl_->known(text, at);
      if (!end) {
        ++at;
        continue;
      }
      out.append(text.substr(copied, at - copied));
      out += kInstead;
      copied = at = *end;
    }
    const std::size_t hide = std::max(found.hide, copied);
    if (hide < found.end) {
      out.append(text.substr(copied, hide - copied));
      out += kInstead;
    }
    copied = at = std::max(found.end, copied);
  }
  if (copied == 0) return std::nullopt;
  out.append(text.substr(copied));
  return out;
}

std::size_t Redactor::size() const {
  const std::shared_lock lock(impl_->mutex);
  std::size_t out = 0;
  for (const auto& one : impl_->kept) out += one.forms.size();
  for (const auto& one : impl_->added) out += one.forms.size();
  return out;
}

}  // namespace pn
