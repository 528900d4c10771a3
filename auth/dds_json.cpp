#include "auth/dds_json.hpp"

#include "auth/siwe.hpp"
#include "auth/wallet.hpp"
#include "base/ids.hpp"
#include "base/json.hpp"
#include "base/result.hpp"
#include "base/time.hpp"

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

namespace pn::auth {
namespace {

/// A newline inside a field would put lines of the server's choice under the wallet's signature.
bool one_line(const std::string& text) {
  return std::none_of(
      text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7F; });
}

}  // namespace

std::string challenge_request_json(const EthAddress& wallet) {
  Json body;
  body["wallet"] = wallet.str();
  return dump_json(body);
}

std::string verify_request_json(const EthAddress& wallet, const SignedMessage& signed_message) {
  Json body;
  body["address"] = wallet.str();
  body["message"] = signed_message.message;
  body["signature"] = signed_message.signature;
  return dump_json(body);
}

std::string register_request_json(const SignedMessage& signed_message,
                                  const Registration& registration) {
  Json body;
  body["message"] = signed_message.message;
  body["signature"] = signed_message.signature;
  body["registration_credentials"] = registration.secret.reveal();
  body["capabilities"] = Json::array();
  for (const Capability& capability : registration.capabilities) {
    body["capabilities"].push_back(capability.str());
  }
  body["version"] = registration.version;
  return dump_json(body);
}

Result<SiweChallenge> parse_challenge(std::string_view body) {
  const Result<Json> json = parse_json(body);
  if (!json) return within("sign-in challenge", json.error());
  JsonFields fields(*json, "sign-in challenge");
  SiweChallenge out;
  out.nonce = fields.need_string("nonce");
  out.domain = fields.need_string("domain");
  out.uri = fields.need_string("uri");
  out.version = fields.need_string("version");
  out.chain_id = fields.need_integer("chainId");
  out.issued_at = fields.need_string("issuedAt");
  for (const std::string* text :
       {&out.nonce, &out.domain, &out.uri, &out.version, &out.issued_at}) {
    if (!one_line(*text)) fields.fault("challenge", "holds a control character");
  }
  const Result<void> sound = fields.done();
  if (!sound) return sound.error();
  return out;
}

Result<TokenAnswer> parse_token_answer(std::string_view body) {
  const Result<Json> json = parse_json(body);
  if (!json) return within("sign-in answer", json.error());
  JsonFields fields(*json, "sign-in answer");
  TokenAnswer out;
  std::string token = fields.need_string("access_token");
  // It becomes a header's value: nothing but visible ASCII may stand in it.
  if (std::any_of(token.begin(), token.end(), [](char c) { return c <= 0x20 || c >= 0x7F; })) {
    fields.fault("access_token", "is no bearer token");
  }
  std::optional<SystemTime> expiry = fields.time("access_expires_at");
  if (!expiry) expiry = fields.time("expires_at");
  if (!expiry) fields.fault("access_expires_at", "is missing");
  const Result<void> sound = fields.done();
  if (!sound) return sound.error();
  out.token = AccessToken(std::move(token));
  out.expires_at = *expiry;
  return out;
}

}  // namespace pn::auth
