#pragma once

#include "auth/access_tokens.hpp"
#include "auth/siwe.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "base/secret.hpp"
#include "base/time.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace pn::auth {

/// A sign-in message and the wallet's signature of it.
struct SignedMessage {
  std::string message;
  std::string signature;
};

/// What siwe/verify answers.
struct TokenAnswer {
  AccessToken token;
  SystemTime expires_at;  ///< by the server's clock
};

/// What a node says of itself when it registers.
struct Registration {
  Secret<std::string> secret;  ///< REG_SECRET
  std::vector<Capability> capabilities;
  std::string version;  ///< semver without a leading "v"
};

std::string challenge_request_json(const EthAddress& wallet);
std::string verify_request_json(const EthAddress& wallet, const SignedMessage& signed_message);
std::string register_request_json(const SignedMessage& signed_message,
                                  const Registration& registration);

/// Kind `corrupt` when one of the six is missing, the nonce is empty, or a field would break out of
/// its line of the message to be signed.
Result<SiweChallenge> parse_challenge(std::string_view body);
/// Kind `corrupt` without a token or an expiry (`access_expires_at`, of older servers
/// `expires_at`). Whether that has passed is for the caller, who knows the server's time.
Result<TokenAnswer> parse_token_answer(std::string_view body);

}  // namespace pn::auth
