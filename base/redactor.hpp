#pragma once

#include "base/secret.hpp"

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace pn {

/// Takes secrets out of text that leaves the process: log lines, what a terminal shows.
///
/// Two nets, of which neither replaces the other:
///
/// 1. Shapes, always on: `Bearer` and `Basic` credentials, headers that carry others, JWTs, 64 or
///    more hex digits, PEM private keys, the user of a URL, and the values of names that end like a
///    secret's (`X-Amz-Signature=`, `DB_PASSWORD='`, `"accessToken":"`).
/// 2. The secrets of this process, told by keep() and add(): as they are, percent-encoded,
///    JSON-escaped, or in base64 (alone, or amid other bytes), also cut off at the end of the text
///    or by a "...".
///
/// What is shorter than 6 bytes is no secret and is not looked for. Memory is bounded: added ones
/// beyond the newest 512 are forgotten, and of each the first 128 bytes are looked for, and taken
/// out with all that follows of the same token. Thread: any.
class Redactor final {
 public:
  /// What 64 or more hex digits are, where they are no secret that it was told.
  enum class Hex {
    key,    ///< a private key, for all that can be said of a text for people
    digest  ///< of bytes, in data of a program's: it stays
  };

  Redactor();
  ~Redactor();
  Redactor(const Redactor&) = delete;
  Redactor& operator=(const Redactor&) = delete;

  /// A secret of the whole run (a key, a password). At most 64 of them.
  void keep(const Secret<std::string>& secret);
  /// The password of a URL ("http://user:password@host"), if it has one; kept.
  void keep_password_of(const Secret<std::string>& url);
  /// One that others follow (a token).
  void add(const Secret<std::string>& secret);

  /// Puts "[redacted]" where a secret stood. A name or a scheme before it stays. What was cleaned
  /// once is left as it is.
  void apply(std::string& text, Hex hex = Hex::key) const;
  [[nodiscard]] std::string clean(std::string_view text) const {
    std::string out(text);
    apply(out);
    return out;
  }

  /// How many forms of secrets are looked for: for a test that it is bounded.
  [[nodiscard]] std::size_t size() const;

 private:
  void apply_whole(std::string& text, Hex hex) const;
  [[nodiscard]] std::optional<std::string> apply_once(std::string_view text, Hex hex) const;

  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pn
