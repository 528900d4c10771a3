#include "base/redacted_json.hpp"

#include "base/json.hpp"
#include "base/redactor.hpp"
#include "base/secret.hpp"
#include "tests/support/secret_forms.hpp"

#include <cstdint>
#include <random>
#include <string>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

namespace pn {
namespace {

const char* const kDigest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
const char* const kKey = "4c0883a69102937d6231471b5dbb6204fe5129617082798ce3f4fdf2548b6f90";

Secret<std::string> secret(const std::string& text) { return Secret<std::string>(text); }

}  // namespace

TEST_CASE("secrets: taken out of JSON wherever they stand, and it stays JSON", "[base][secrets]") {
  Redactor redactor;
  redactor.add(secret("tok\"en-123\\"));
  Json value = {{"error", "it said tok\"en-123\\"},
                {"tok\"en-123\\", 1},
                {"list", {"Bearer abcdefgh", 2, nullptr, {{"deep", "x tok\"en-123\\ y"}}}},
                {"password", "short"},
                {"secret", {"a", {{"value", "b"}}}},
                {std::string(64, 'a'), 1},
                {std::string(64, 'b'), 2},
                {"token", 7},
                {"number", 1.5}};
  redact(value, redactor, Redactor::Hex::key);
  CHECK(value == Json{{"error", "it said [redacted]"},
                      {"[redacted]", 1},
                      {"[redacted]_", 2},
                      {"[redacted]__", 1},
                      {"list", {"Bearer [redacted]", 2, nullptr, {{"deep", "x [redacted] y"}}}},
                      {"password", "[redacted]"},
                      {"secret", {"[redacted]", {{"value", "[redacted]"}}}},
                      {"token", 7},
                      {"number", 1.5}});
}

TEST_CASE("secrets: in data a digest stays, and a key that is known does not", "[base][secrets]") {
  Redactor redactor;
  redactor.keep(secret(kKey));
  Json value = {kDigest, kKey};
  SECTION("data") {
    redact(value, redactor, Redactor::Hex::digest);
    CHECK(value == Json{kDigest, "[redacted]"});
  }
  SECTION("text for people") {
    redact(value, redactor, Redactor::Hex::key);
    CHECK(value == Json{"[redacted]", "[redacted]"});
  }
}

TEST_CASE("secrets: one that was cut off is found where the cut shows", "[base][secrets]") {
  Redactor redactor;
  redactor.keep(secret("a-rather-long-secret"));
  redactor.keep(secret("with...dots-in-it"));
  CHECK(redactor.clean("said a-rather-lo...; check it") == "said [redacted]...; check it");
  CHECK(redactor.clean("said a-rathe...; check it") == "said a-rathe...; check it");  // seven bytes
  CHECK(redactor.clean("with...dots-in-it and ... more") == "[redacted] and ... more");
  CHECK(redactor.clean("...a-rather-long-secret...") == "...[redacted]...");
  CHECK(redactor.clean("a ... b ...") == "a ... b ...");
}

TEST_CASE("secrets: none leaks out of JSON, however it is encoded and cut", "[base][secrets]") {
  const auto seed = static_cast<std::uint32_t>(std::random_device()());
  CAPTURE(seed);
  testing::SecretForms forms(seed);
  for (int round = 0; round < 3000; ++round) {
    Redactor redactor;
    // Of one that is cut less than eight bytes may be left, which escapes would make longer.
    const bool cut = forms.below(3) == 0;
    const std::string hidden =
        forms.some(cut ? testing::SecretForms::kToken : testing::SecretForms::kPrintable,
                   12 + forms.below(60));
    redactor.keep(secret(hidden));
    const std::string form = cut ? hidden : forms.encoded(hidden);
    std::string text = forms.noise() + form + forms.noise();
    if (cut) text = text.substr(0, forms.below(text.size() + 1)) + "...; and more";
    Json value = {{"reasons", {text}}, {"checks", {{{"name", "x"}, {"detail", text}}}}};
    redact(value, redactor, Redactor::Hex::key);
    INFO(hidden << "\nas " << form << "\nin " << dump_json(value));
    REQUIRE_FALSE(forms.leaks(form, value["reasons"][0].get<std::string>()));
    REQUIRE_FALSE(forms.leaks(form, dump_json(value)));
  }
}

}  // namespace pn
