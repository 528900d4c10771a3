#pragma once

#include "base/json.hpp"
#include "base/result.hpp"
#include "base/secret.hpp"
#include "base/time.hpp"

#include <memory>
#include <string>
#include <string_view>

namespace pn::auth {

/// An ES256 (P-256) key that signs and verifies JWTs (RFC 7519, RFC 7518 3.4).
class SigningKey final {
 public:
  static SigningKey generate();
  /// PKCS#8 PEM. Kind `rejected` when it is no P-256 private key.
  static Result<SigningKey> from_pem(const Secret<std::string>& pem);
  ~SigningKey();
  SigningKey(SigningKey&&) noexcept;
  SigningKey& operator=(SigningKey&&) noexcept;

  [[nodiscard]] Secret<std::string> private_pem() const;
  [[nodiscard]] std::string public_pem() const;
  /// RFC 7638 thumbprint: the `kid`.
  [[nodiscard]] const std::string& key_id() const;
  /// {"kty":"EC","crv":"P-256","x":...,"y":...,"kid":...,"alg":"ES256","use":"sig"}
  [[nodiscard]] std::string public_jwk() const;

  /// `claims_json` is a JSON object, signed as it stands.
  [[nodiscard]] std::string sign(std::string_view claims_json) const;

  /// The claims of a token that this key signed and that has not expired at `now` (`exp` is
  /// required). Kind `unauthorized`, code "token_malformed", "token_signature" or "token_expired".
  [[nodiscard]] Result<Json> verify(std::string_view token, SystemTime now) const;

 private:
  struct Impl;
  explicit SigningKey(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// What a token of someone else says of itself, the signature unchecked: for a client that looks
/// whether the grant it was given is the one it asked for. Kind `unauthorized`, code
/// "token_malformed".
Result<Json> unverified_claims(std::string_view token);

/// `exp` of a token's claims; kind `unauthorized`, code "token_malformed", where it is no time.
Result<SystemTime> token_expiry(const Json& claims);

}  // namespace pn::auth
