#include "base/log.hpp"
#include "base/redactor.hpp"
#include "base/secret.hpp"
#include "runners/line_splitter.hpp"
#include "tests/support/secret_forms.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <catch2/catch.hpp>

// The way of a program's output into the log: pieces of any size, lines, a logger, its sink.

namespace pn::runners {
namespace {

using testing::SecretForms;

class Fuzz {
 public:
  explicit Fuzz(std::uint32_t seed) : forms_(seed), redactor_(std::make_shared<Redactor>()) {
    for (int i = 0; i < 8; ++i) {
      secrets_.push_back(forms_.some(SecretForms::kPrintable, 12 + forms_.below(40)));
    }
    for (int i = 0; i < 4; ++i) secrets_.push_back(forms_.some("0123456789abcdef", 64));
    for (int i = 0; i < 4; ++i) {
      secrets_.push_back("tok-" + forms_.some(SecretForms::kToken, 200 + forms_.below(600)));
    }
    for (const std::string& secret : secrets_) redactor_->keep(Secret<std::string>(secret));
  }

  /// One line with a secret in it; false (and `leaked`) when the log shows any of it.
  bool round() {
    const std::string& secret = secrets_[forms_.below(secrets_.size())];
    const std::string hidden = forms_.encoded(secret);
    const std::string output = forms_.noise() + hidden + forms_.noise() + "\n";
    std::string seen;
    const log::Options options{
        .level = log::Level::debug,
        .format = forms_.below(2) == 0 ? log::Format::json : log::Format::text};
    const log::Logger logger(
        options, [&](log::Level, std::string_view line) { seen += line; }, redactor_);
    LineSplitter lines(
        [&](std::string_view line) { logger.debug("test.said", {{"line", std::string(line)}}); });
    for (std::size_t at = 0; at < output.size();) {
      const std::size_t piece = 1 + forms_.below(std::max<std::size_t>(2, output.size() / 3));
      lines.add(std::string_view(output).substr(at, piece));
      at += piece;
    }
    lines.finish();
    if (!forms_.leaks(hidden, seen)) return true;
    leaked = "secret " + secret + "\nin " + seen;
    return false;
  }

  std::string leaked;

 private:
  SecretForms forms_;
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
