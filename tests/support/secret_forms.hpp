#pragma once

#include "base/encoding.hpp"
#include "base/json.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace pn::testing {

/// Secrets and what comes of them on their way through programs, by a seed: for tests that look for
/// leaks.
class SecretForms final {
 public:
  static constexpr std::string_view kToken =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  static constexpr std::string_view kPrintable =
      " !\"#$%&'()*+,-./"
      "0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz"
      "{|}~";

  explicit SecretForms(std::uint32_t seed) : random_(seed) {}

  std::size_t below(std::size_t limit) {
    return static_cast<std::size_t>(random_()) % limit;  // a little uneven, which is no matter
  }
  std::string some(std::string_view alphabet, std::size_t count) {
    std::string out;
    for (std::size_t i = 0; i < count; ++i) out += alphabet[below(alphabet.size())];
    return out;
  }
  std::string noise() {
    const std::size_t count = below(60);
    // No letter or digit touches the secret: a longer word around it is another one.
    return count == 0 ? "" : " " + some(kPrintable, count) + " ";
  }
  /// As it is, percent-encoded, escaped, in base64, and so on.
  std::string encoded(const std::string& secret) {
    switch (below(9)) {
      case 0:
        return percent_encode(secret);
      case 1:
        return sprinkled(secret, true);
      case 2:
        return escaped(secret);
      case 3:
        return escaped(escaped(secret));
      case 4:
        return sprinkled(secret, false);
      case 5:
        return to_base64(secret);
      case 6:
        return to_base64url(secret);
      case 7:
        return percent_encode(to_base64(secret));
      default:
        return secret;
    }
  }
  /// Whether any piece of twelve characters of `hidden` stands in `seen`, as it is or as JSON
  /// escapes it.
  bool leaks(const std::string& hidden, std::string_view seen) {
    return has_piece(hidden, seen) || has_piece(escaped(hidden), seen);
  }

 private:
  static constexpr std::size_t kPiece = 12;

  bool has_piece(const std::string& hidden, std::string_view seen) {
    for (std::size_t at = 0; at + kPiece <= hidden.size(); at += 1 + below(kPiece)) {
      if (seen.find(hidden.substr(at, kPiece)) != std::string_view::npos) return true;
    }
    return false;
  }
  static std::string escaped(const std::string& text) {
    const std::string quoted = dump_json(Json(text));
    return quoted.substr(1, quoted.size() - 2);
  }
  /// Every byte as %xx or \u00xx now and then.
  std::string sprinkled(const std::string& text, bool percent) {
    std::string out;
    for (const char c : text) {
      const auto byte = static_cast<unsigned char>(c);
      const std::string hex = to_hex({&byte, 1});
      const bool must = percent ? c == '%' || c == '+' : c == '"' || c == '\\';
      if (must || below(4) == 0) {
        out += (percent ? "%" : "\\u00") + hex;
      } else {
        out += c;
      }
    }
    return out;
  }

  std::mt19937 random_;
};

}  // namespace pn::testing
