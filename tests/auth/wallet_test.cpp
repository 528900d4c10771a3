#include "auth/wallet.hpp"

#include "base/encoding.hpp"
#include "base/result.hpp"
#include "base/secret.hpp"
#include "tests/auth/known_answers.hpp"

#include <algorithm>
#include <cctype>
#include <string>
#include <string_view>

#include <catch2/catch.hpp>

using namespace pn;           // NOLINT(google-build-using-namespace)
using namespace pn::auth;     // NOLINT(google-build-using-namespace)
using namespace pn::testing;  // NOLINT(google-build-using-namespace)

namespace {
Result<Wallet> wallet_of(std::string_view hex) {
  return Wallet::from_hex(Secret<std::string>(std::string(hex)));
}
std::string upper(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) {
    return static_cast<char>(std::toupper(c));
  });
  return out;
}
}  // namespace

TEST_CASE("keccak256: the pre-NIST padding, not SHA3-256", "[auth][wallet]") {
  CHECK(to_hex(keccak256("")) ==
        "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470");
  CHECK(to_hex(keccak256("abc")) ==
        "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45");
}

TEST_CASE("wallet: the known key gives the known address, however it is written",
          "[auth][wallet]") {
  const std::string key =
      GENERATE(std::string(kKnownKey), "0x" + std::string(kKnownKey), upper(kKnownKey));
  const Result<Wallet> wallet = wallet_of(key);
  REQUIRE(wallet);
  CHECK(wallet->address().str() == kKnownAddress);
}

TEST_CASE("wallet: the known message gives the known signature", "[auth][wallet]") {
  const Result<Wallet> wallet = wallet_of(kKnownKey);
  REQUIRE(wallet);
  CHECK(wallet->sign_personal(kKnownMessage) == kKnownSignature);
}

TEST_CASE("wallet: what is no key is refused without being shown", "[auth][wallet]") {
  const std::string bad = GENERATE(std::string(""),
                                   std::string("0x"),
                                   std::string("zz"),
                                   std::string(63, '1'),
                                   std::string(62, '1'),
                                   std::string(66, '1'),
                                   std::string(64, '0'),
                                   std::string(64, 'f'));
  const Result<Wallet> wallet = wallet_of(bad);
  REQUIRE_FALSE(wallet);
  CHECK(wallet.error().kind == ErrorKind::rejected);
  if (bad.size() > 2) CHECK(wallet.error().detail.find(bad) == std::string::npos);
}

TEST_CASE("wallet: a signature tells who signed, and another message another key",
          "[auth][wallet]") {
  const Result<EthAddress> signer = recover_personal(kKnownMessage, kKnownSignature);
  REQUIRE(signer);
  CHECK(signer->str() == kKnownAddress);

  const Result<EthAddress> other = recover_personal("another message", kKnownSignature);
  CHECK((!other || other->str() != kKnownAddress));
}

TEST_CASE("wallet: malformed signatures are refused", "[auth][wallet]") {
  const std::string known(kKnownSignature);
  const std::string bad = GENERATE_COPY(std::string(),
                                        std::string("0x12"),
                                        known + "00",
                                        known.substr(0, 130),
                                        known.substr(0, 130) + "ff",          // v
                                        "0x" + std::string(128, 'f') + "1b",  // r, s not below n
                                        "0x" + std::string(128, '0') + "1b");
  const Result<EthAddress> signer = recover_personal(kKnownMessage, bad);
  REQUIRE_FALSE(signer);
  CHECK(signer.error().kind == ErrorKind::rejected);
  CHECK(signer.error().code == "signature_malformed");
}

TEST_CASE("address: any case in, lower case out", "[auth][wallet]") {
  const Result<EthAddress> address = parse_eth_address("0x" + upper(kKnownAddress.substr(2)));
  REQUIRE(address);
  CHECK(address->str() == kKnownAddress);
  CHECK_FALSE(parse_eth_address(kKnownAddress.substr(2)));
  CHECK_FALSE(parse_eth_address("0x12"));
  CHECK_FALSE(parse_eth_address("0x0x" + std::string(38, 'a')));
}
