#include "auth/dds_json.hpp"
#include "auth/jwt.hpp"
#include "auth/siwe.hpp"
#include "auth/wallet.hpp"
#include "base/encoding.hpp"
#include "base/json.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "tests/fuzz/fuzz.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

// The same text as a JWT, as its claims, as a sign-in message, and as what DDS answers.
namespace pn::auth {
namespace {

using fuzz::require;

void check_jwt(std::string_view text) {
  static const SigningKey key = SigningKey::generate();
  static const std::string genuine = key.sign(R"({"exp":4102444800,"sub":"a"})");
  const Result<Json> claims = unverified_claims(text);
  if (!claims.ok()) {
    require(claims.error().code == "token_malformed", "a bad token is called one");
    return;
  }
  require(claims->is_object(), "claims are an object");
  const Result<SystemTime> expiry = token_expiry(*claims);
  if (expiry.ok()) {
    require(*expiry >= SystemTime() && !format_rfc3339(*expiry).empty(), "an expiry is a time");
  }
  const Result<Json> verified = key.verify(text, SystemTime());
  require(verified.ok() == (text == genuine), "no token is ours that we did not sign");
}

void check_claims(std::string_view text) {
  const Result<Json> claims = parse_json(text);
  if (!claims.ok() || !claims->is_object()) return;
  const Result<SystemTime> expiry = token_expiry(*claims);
  if (expiry.ok()) require(*expiry >= SystemTime(), "an expiry is a time since 1970");
}

void check_siwe(std::string_view text) {
  const Result<ParsedSiwe> parsed = parse_siwe_message(text);
  if (!parsed.ok()) {
    require(parsed.error().code == "siwe_malformed", "a bad message is called one");
    return;
  }
  const std::string written = siwe_message(parsed->challenge, parsed->address);
  const Result<ParsedSiwe> again = parse_siwe_message(written);
  require(again.ok() && again->challenge == parsed->challenge && again->address == parsed->address,
          "a message is read back");
  require(text.find(parsed->challenge.nonce) != std::string_view::npos, "a nonce is the message's");
}

void check_dds(std::string_view text) {
  const Result<SiweChallenge> challenge = parse_challenge(text);
  if (challenge.ok()) {
    const EthAddress address = *parse_eth_address("0x7e5f4552091a69125d5dfcb7b8c2659029395bdf");
    const Result<ParsedSiwe> parsed = parse_siwe_message(siwe_message(*challenge, address));
    require(parsed.ok() && parsed->challenge == *challenge && parsed->address == address,
            "what we sign says what the challenge says");
  }
  const Result<TokenAnswer> answer = parse_token_answer(text);
  if (answer.ok()) {
    require(answer->expires_at >= SystemTime() || !format_rfc3339(answer->expires_at).empty(),
            "a token expires at a time");
  }
  const Result<EthAddress> address = parse_eth_address(text);
  if (address.ok()) {
    const Result<EthAddress> again = parse_eth_address(address->str());
    require(again.ok() && *again == *address, "an address is read back");
  }
}

void check_encodings(std::string_view text) {
  require(from_base64url(to_base64url(text)) == text, "base64url is read back");
  require(from_base64(to_base64(text)) == text, "base64 is read back");
  const auto decoded = from_base64url(text);
  if (decoded) require(to_base64url(*decoded) == text, "base64url has one form");
}

}  // namespace
}  // namespace pn::auth

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  pn::auth::check_jwt(text);
  pn::auth::check_claims(text);
  pn::auth::check_siwe(text);
  pn::auth::check_dds(text);
  pn::auth::check_encodings(text);
  return 0;
}
