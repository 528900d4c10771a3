#include "auth/jwt.hpp"

#include "base/encoding.hpp"
#include "base/json.hpp"
#include "base/result.hpp"
#include "base/secret.hpp"
#include "base/time.hpp"

#include <chrono>
#include <string>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

using namespace pn;        // NOLINT(google-build-using-namespace)
using namespace pn::auth;  // NOLINT(google-build-using-namespace)

namespace {
const SystemTime kNow{std::chrono::seconds(1'800'000'000)};
constexpr auto kClaims = R"({"sub":"node-1","exp":1800000060})";

std::string code_of(const Result<Json>& result) { return result.ok() ? "ok" : result.error().code; }
}  // namespace

TEST_CASE("jwt: what a key signs it verifies, and only until it expires", "[auth][jwt]") {
  const SigningKey key = SigningKey::generate();
  const std::string token = key.sign(kClaims);
  const Result<Json> claims = key.verify(token, kNow);
  REQUIRE(claims);
  CHECK((*claims)["sub"] == "node-1");
  CHECK(code_of(key.verify(token, kNow + std::chrono::seconds(59))) == "ok");
  CHECK(code_of(key.verify(token, kNow + std::chrono::seconds(60))) == "token_expired");
}

TEST_CASE("jwt: the header names ES256 and the key", "[auth][jwt]") {
  const SigningKey key = SigningKey::generate();
  const std::string token = key.sign(kClaims);
  const auto header = from_base64url(token.substr(0, token.find('.')));
  REQUIRE(header);
  const Json parsed = Json::parse(*header);
  CHECK(parsed["alg"] == "ES256");
  CHECK(parsed["kid"] == key.key_id());
  // r || s, 64 bytes: not the ASN.1 that OpenSSL writes.
  const auto signature = from_base64url(token.substr(token.rfind('.') + 1));
  REQUIRE(signature);
  CHECK(signature->size() == 64);
}

TEST_CASE("jwt: another key, a changed byte or a bad shape is refused", "[auth][jwt]") {
  const SigningKey key = SigningKey::generate();
  const SigningKey stranger = SigningKey::generate();
  const std::string token = key.sign(kClaims);
  CHECK(code_of(stranger.verify(token, kNow)) == "token_signature");

  const std::string head = token.substr(0, token.find('.'));
  const std::string tail = token.substr(token.rfind('.'));
  const std::string forged =
      head + "." + to_base64url(R"({"sub":"admin","exp":1800000060})") + tail;
  CHECK(code_of(key.verify(forged, kNow)) == "token_signature");
  CHECK(code_of(key.verify(token.substr(0, token.size() - 2), kNow)) == "token_signature");

  const std::string none = to_base64url(R"({"alg":"none"})") + "." + to_base64url(kClaims) + ".";
  CHECK(code_of(key.verify(none, kNow)) == "token_malformed");
  for (const std::string& bad : {std::string(),
                                 std::string("a.b"),
                                 std::string("a.b.c"),
                                 token + ".x",
                                 "." + token,
                                 std::string("!!.!!.!!")}) {
    CHECK(code_of(key.verify(bad, kNow)) == "token_malformed");
  }
}

TEST_CASE("jwt: a token without a readable expiry is no token", "[auth][jwt]") {
  const SigningKey key = SigningKey::generate();
  const std::string claims = GENERATE(R"({"sub":"x"})",
                                      R"({"exp":"soon"})",
                                      R"({"exp":-1})",
                                      R"({"exp":1e300})",
                                      R"({"exp":null})");
  CHECK(code_of(key.verify(key.sign(claims), kNow)) == "token_malformed");
}

TEST_CASE("jwt: a key survives its PEM", "[auth][jwt]") {
  const SigningKey key = SigningKey::generate();
  const Result<SigningKey> again = SigningKey::from_pem(key.private_pem());
  REQUIRE(again);
  CHECK(again->key_id() == key.key_id());
  CHECK(code_of(again->verify(key.sign(kClaims), kNow)) == "ok");
  CHECK(key.private_pem().reveal().starts_with("-----BEGIN PRIVATE KEY-----"));
  CHECK(key.public_pem().starts_with("-----BEGIN PUBLIC KEY-----"));
  const Json jwk = Json::parse(key.public_jwk());
  CHECK(jwk["kid"] == key.key_id());
  CHECK(jwk["crv"] == "P-256");
}

TEST_CASE("jwt: a PEM that is no P-256 private key is refused", "[auth][jwt]") {
  const SigningKey key = SigningKey::generate();
  // An Ed25519 key, made for this test alone.
  constexpr auto kEd25519 =
      "-----BEGIN PRIVATE KEY-----\n"
      "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
      "-----END PRIVATE KEY-----\n";
  const std::string public_pem = key.public_pem();
  const std::string pem =
      GENERATE_REF(std::string(), std::string("nonsense"), public_pem, std::string(kEd25519));
  const Result<SigningKey> result = SigningKey::from_pem(Secret<std::string>(pem));
  REQUIRE_FALSE(result);
  CHECK(result.error().kind == ErrorKind::rejected);
}

TEST_CASE("jwt: claims of another's token are read without its key", "[auth][jwt]") {
  const SigningKey key = SigningKey::generate();
  const Result<Json> claims = unverified_claims(key.sign(kClaims));
  REQUIRE(claims);
  CHECK((*claims)["sub"] == "node-1");
  const Result<SystemTime> expiry = token_expiry(*claims);
  REQUIRE(expiry);
  CHECK(*expiry == kNow + std::chrono::seconds(60));
  CHECK_FALSE(unverified_claims("x"));
}
