#include "base/encoding.hpp"
#include "base/json.hpp"
#include "base/log.hpp"
#include "base/redactor.hpp"
#include "base/secret.hpp"
#include "runners/line_splitter.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

// The way of a program's output into the log: pieces of any size, lines, a logger, its sink.

namespace pn::runners {
namespace {

class Fuzz {
 public:
  explicit Fuzz(std::uint32_t seed) : random_(seed), redactor_(std::make_shared<Redactor>()) {
    for (int i = 0; i < 8; ++i) secrets_.push_back(some(kPrintable, 12 + below(40)));
    for (int i = 0; i < 4; ++i) secrets_.push_back(some("0123456789abcdef", 64));
    for (int i = 0; i < 4; ++i) secrets_.push_back("tok-" + some(kToken, 200 + below(600)));
    for (const std::string& secret : secrets_) redactor_->keep(Secret<std::string>(secret));
  }

  /// One line with a secret in it; false (and `leaked`) when the log shows any of it.
  bool round() {
    const std::string& secret = secrets_[below(secrets_.size())];
    const std::string hidden = encoded(secret);
    const std::string output = noise() + hidden + noise() + "\n";
    std::string seen;
    const log::Options options{.level = log::Level::debug,
                               .format = below(2) == 0 ? log::Format::json : log::Format::text};
    const log::Logger logger(
        options, [&](log::Level, std::string_view line) { seen += line; }, redactor_);
    LineSplitter lines(
        [&](std::string_view line) { logger.debug("test.said", {{"line", std::string(line)}}); });
    for (std::size_t at = 0; at < output.size();) {
      const std::size_t piece = 1 + below(std::max<std::size_t>(2, output.size() / 3));
      lines.add(std::string_view(output).substr(at, piece));
      at += piece;
    }
    lines.finish();
    // Not one piece of it of twelve characters, as it is or as a log line would escape it.
    const std::string as_json = escaped(hidden);
    for (std::size_t at = 0; at + kPiece <= hidden.size(); at += 1 + below(kPiece)) {
      if (seen.find(hidden.substr(at, kPiece)) != std::string::npos) return fail(secret, seen);
    }
    for (std::size_t at = 0; at + kPiece <= as_json.size(); at += 1 + below(kPiece)) {
      if (seen.find(as_json.substr(at, kPiece)) != std::string::npos) return fail(secret, seen);
    }
    return true;
  }

  std::string leaked;

 private:
  static constexpr std::size_t kPiece = 12;
  static constexpr std::string_view kToken =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  static constexpr std::string_view kPrintable =
      " !\"#$%&'()*+,-./"
      "0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz"
      "{|}~";

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
  bool fail(const std::string& secret, const std::string& seen) {
    leaked = "secret " + secret + "\nin " + seen;
    return false;
  }

  std::mt19937 random_;
  std::shared_ptr<Redactor> redactor_;
  std::vector<std::string> secrets_;
};

void no_leak(int rounds) {
  const auto seed = static_cast<std::uint32_t>(std::random_device()());
  INFO("seed " << seed);
  int leaks = 0;
  for (int done = 0; done < rounds; done += 1000) {
    Fuzz fuzz(seed + static_cast<std::uint32_t>(done));  // other secrets every thousand lines
    for (int i = 0; i < 1000; ++i) {
      if (fuzz.round()) continue;
      ++leaks;
      UNSCOPED_INFO(fuzz.leaked);
      if (leaks == 3) break;
    }
    if (leaks > 0) break;
  }
  CHECK(leaks == 0);
}

}  // namespace

TEST_CASE("secrets: none leaks through a program's output, however it is cut and encoded",
          "[runners][secrets]") {
  no_leak(10'000);
}

TEST_CASE("secrets: none leaks in a million lines", "[runners][secrets][.slow]") {
  no_leak(1'000'000);
}

}  // namespace pn::runners
