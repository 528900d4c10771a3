#include "auth/siwe.hpp"

#include "auth/wallet.hpp"
#include "base/result.hpp"
#include "tests/auth/known_answers.hpp"

#include <string>
#include <string_view>

#include <catch2/catch.hpp>

using namespace pn;           // NOLINT(google-build-using-namespace)
using namespace pn::auth;     // NOLINT(google-build-using-namespace)
using namespace pn::testing;  // NOLINT(google-build-using-namespace)

namespace {
SiweChallenge known_challenge() {
  return {.nonce = "abc123",
          .domain = "example.com",
          .uri = "https://example.com",
          .version = "1",
          .chain_id = 1,
          .issued_at = "2024-05-01T00:00:00Z"};
}
std::string replaced(std::string_view text, std::string_view from, std::string_view to) {
  std::string out(text);
  out.replace(out.find(from), from.size(), to);
  return out;
}
}  // namespace

TEST_CASE("siwe: the message is byte for byte the known one", "[auth][siwe]") {
  const EthAddress address{std::string(kKnownAddress)};
  CHECK(siwe_message(known_challenge(), address) == kKnownMessage);
  CHECK(siwe_message(known_challenge(), address, {"urn:a", "urn:b"}) ==
        std::string(kKnownMessage) + "\nResources:\n- urn:a\n- urn:b");
}

TEST_CASE("siwe: a message is read back, resources included", "[auth][siwe]") {
  const std::string tail = GENERATE("", "\nResources:\n- urn:a");
  const Result<ParsedSiwe> parsed = parse_siwe_message(std::string(kKnownMessage) + tail);
  REQUIRE(parsed);
  CHECK(parsed->challenge == known_challenge());
  CHECK(parsed->address.str() == kKnownAddress);
}

TEST_CASE("siwe: anything of another form is refused", "[auth][siwe]") {
  const std::string known(kKnownMessage);
  const std::string bad = GENERATE_COPY(std::string(),
                                        known + "\n",
                                        known + "\nanother line",
                                        known + "\nResources:\nurn:a",
                                        replaced(known, "example.com wants", " wants"),
                                        replaced(known, "0xfd", "fd"),
                                        replaced(known, "\n\nURI", "\nURI"),
                                        replaced(known, "Chain ID: 1", "Chain ID: one"),
                                        replaced(known, "Chain ID: 1", "Chain ID: 1x"),
                                        replaced(known, "Nonce: abc123\n", ""),
                                        replaced(known, "abc123", ""),
                                        replaced(known, "\nVersion", "\r\nVersion"));
  const Result<ParsedSiwe> parsed = parse_siwe_message(bad);
  REQUIRE_FALSE(parsed);
  CHECK(parsed.error().kind == ErrorKind::rejected);
}
