#include "auth/jwt.hpp"

#include "base/digest.hpp"
#include "base/encoding.hpp"
#include "base/json.hpp"
#include "base/result.hpp"
#include "base/secret.hpp"
#include "base/time.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

namespace pn::auth {
namespace {

constexpr int kFieldBytes = 32;  // of P-256: r, s, x and y
constexpr std::size_t kRawSignatureBytes = 64;

template <class T, void (*Free)(T*)>
struct Freed {
  void operator()(T* held) const { Free(held); }
};
void free_bio(BIO* held) { BIO_free_all(held); }

using KeyPtr = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY, EVP_PKEY_free>>;
using DigestPtr = std::unique_ptr<EVP_MD_CTX, Freed<EVP_MD_CTX, EVP_MD_CTX_free>>;
using BignumPtr = std::unique_ptr<BIGNUM, Freed<BIGNUM, BN_free>>;
using SignaturePtr = std::unique_ptr<ECDSA_SIG, Freed<ECDSA_SIG, ECDSA_SIG_free>>;
using BioPtr = std::unique_ptr<BIO, Freed<BIO, free_bio>>;

[[noreturn]] void openssl_failed(const char* what) {
  ERR_clear_error();
  throw std::runtime_error(std::string("OpenSSL cannot ") + what);
}

BioPtr memory_bio() {
  BioPtr bio(BIO_new(BIO_s_mem()));
  if (!bio) openssl_failed("allocate");
  return bio;
}

std::string taken(const BioPtr& bio) {
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &bytes);
  return {bytes, static_cast<std::size_t>(size)};
}

/// A coordinate of the public point, as a JWK writes it.
std::string coordinate(EVP_PKEY* key, const char* name) {
  BIGNUM* raw = nullptr;
  if (EVP_PKEY_get_bn_param(key, name, &raw) != 1) openssl_failed("read a public key");
  const BignumPtr number(raw);
  std::string bytes(kFieldBytes, '\0');
  BN_bn2binpad(number.get(), reinterpret_cast<unsigned char*>(bytes.data()), kFieldBytes);
  return to_base64url(bytes);
}

/// JWS wants r || s (RFC 7518 3.4) where OpenSSL writes and reads ASN.1.
std::string raw_from_der(const std::string& der) {
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  const SignaturePtr parsed(d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size())));
  if (!parsed) openssl_failed("read its own signature");
  std::string raw(kRawSignatureBytes, '\0');
  auto* out = reinterpret_cast<unsigned char*>(raw.data());
  BN_bn2binpad(ECDSA_SIG_get0_r(parsed.get()), out, kFieldBytes);
  BN_bn2binpad(ECDSA_SIG_get0_s(parsed.get()), out + kFieldBytes, kFieldBytes);
  return raw;
}

std::string der_from_raw(const std::string& raw) {
  const auto* in = reinterpret_cast<const unsigned char*>(raw.data());
  BignumPtr r(BN_bin2bn(in, kFieldBytes, nullptr));
  BignumPtr s(BN_bin2bn(in + kFieldBytes, kFieldBytes, nullptr));
  const SignaturePtr signature(ECDSA_SIG_new());
  if (!r || !s || !signature || ECDSA_SIG_set0(signature.get(), r.get(), s.get()) != 1) {
    openssl_failed("build a signature");
  }
  static_cast<void>(r.release());  // the signature owns them now
  static_cast<void>(s.release());
  unsigned char* der = nullptr;
  const int size = i2d_ECDSA_SIG(signature.get(), &der);
  if (size < 0) openssl_failed("write a signature");
  std::string out(reinterpret_cast<char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  return out;
}

Error malformed(std::string_view what) {
  return {ErrorKind::unauthorized, "token_malformed", "the token " + std::string(what)};
}

struct Pieces {
  std::string_view signed_part;  ///< header.payload
  Json header;
  Json claims;
  std::string signature;
};

std::optional<Json> decoded_object(std::string_view piece) {
  const std::optional<std::string> text = from_base64url(piece);
  if (!text) return std::nullopt;
  Result<Json> value = parse_json(*text);
  if (!value || !value->is_object()) return std::nullopt;
  return std::move(*value);
}

Result<Pieces> take_apart(std::string_view token) {
  const std::size_t first = token.find('.');
  const std::size_t second = first == std::string_view::npos ? first : token.find('.', first + 1);
  if (second == std::string_view::npos || token.find('.', second + 1) != std::string_view::npos) {
    return malformed("does not have three parts");
  }
  Pieces out;
  out.signed_part = token.substr(0, second);
  std::optional<Json> header = decoded_object(token.substr(0, first));
  std::optional<Json> claims = decoded_object(token.substr(first + 1, second - first - 1));
  std::optional<std::string> signature = from_base64url(token.substr(second + 1));
  if (!header || !claims || !signature) return malformed("is not base64url of JSON objects");
  out.header = std::move(*header);
  out.claims = std::move(*claims);
  out.signature = std::move(*signature);
  return out;
}

int no_password(char* /*buffer*/, int /*size*/, int /*writing*/, void* /*unused*/) { return -1; }

}  // namespace

struct SigningKey::Impl {
  explicit Impl(KeyPtr owned) : key(std::move(owned)) {
    x = coordinate(key.get(), OSSL_PKEY_PARAM_EC_PUB_X);
    y = coordinate(key.get(), OSSL_PKEY_PARAM_EC_PUB_Y);
    const std::string canonical =
        R"({"crv":"P-256","kty":"EC","x":")" + x + R"(","y":")" + y + R"("})";
    const Sha256Digest digest = sha256(canonical);
    key_id =
        to_base64url(std::string_view(reinterpret_cast<const char*>(digest.data()), digest.size()));
    header = to_base64url(R"({"alg":"ES256","kid":")" + key_id + R"(","typ":"JWT"})");
  }

  KeyPtr key;
  std::string x;
  std::string y;
  std::string key_id;
  std::string header;
};

SigningKey::SigningKey(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SigningKey::~SigningKey() = default;
SigningKey::SigningKey(SigningKey&&) noexcept = default;
SigningKey& SigningKey::operator=(SigningKey&&) noexcept = default;

SigningKey SigningKey::generate() {
  KeyPtr key(EVP_EC_gen("P-256"));
  if (!key) openssl_failed("make a P-256 key");
  return SigningKey(std::make_unique<Impl>(std::move(key)));
}

Result<SigningKey> SigningKey::from_pem(const Secret<std::string>& pem) {
  const std::string& text = pem.reveal();
  const BioPtr bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  // A callback of ours, because the default one asks on the terminal.
  KeyPtr key(bio ? PEM_read_bio_PrivateKey(bio.get(), nullptr, no_password, nullptr) : nullptr);
  std::array<char, 64> group{};
  const bool right_kind =
      key && EVP_PKEY_is_a(key.get(), "EC") == 1 &&
      EVP_PKEY_get_group_name(key.get(), group.data(), group.size(), nullptr) == 1 &&
      std::string_view(group.data()) == "prime256v1";
  ERR_clear_error();
  if (!right_kind) {
    return Error(ErrorKind::rejected,
                 "signing_key",
                 "the signing key is no P-256 private key in PEM (PKCS#8, without a password)");
  }
  return SigningKey(std::make_unique<Impl>(std::move(key)));
}

Secret<std::string> SigningKey::private_pem() const {
  const BioPtr bio = memory_bio();
  if (PEM_write_bio_PKCS8PrivateKey(
          bio.get(), impl_->key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    openssl_failed("write a private key");
  }
  return Secret<std::string>(taken(bio));
}

std::string SigningKey::public_pem() const {
  const BioPtr bio = memory_bio();
  if (PEM_write_bio_PUBKEY(bio.get(), impl_->key.get()) != 1) openssl_failed("write a public key");
  return taken(bio);
}

const std::string& SigningKey::key_id() const { return impl_->key_id; }

std::string SigningKey::public_jwk() const {
  return R"({"kty":"EC","crv":"P-256","x":")" + impl_->x + R"(","y":")" + impl_->y +
         R"(","kid":")" + impl_->key_id + R"(","alg":"ES256","use":"sig"})";
}

std::string SigningKey::sign(std::string_view claims_json) const {
  std::string out = impl_->header + "." + to_base64url(claims_json);
  const DigestPtr context(EVP_MD_CTX_new());
  const auto* text = reinterpret_cast<const unsigned char*>(out.data());
  std::size_t size = 0;
  if (!context ||
      EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, impl_->key.get()) != 1 ||
      EVP_DigestSign(context.get(), nullptr, &size, text, out.size()) != 1) {
    openssl_failed("start a signature");
  }
  std::string der(size, '\0');
  if (EVP_DigestSign(
          context.get(), reinterpret_cast<unsigned char*>(der.data()), &size, text, out.size()) !=
      1) {
    openssl_failed("sign");
  }
  der.resize(size);
  out += "." + to_base64url(raw_from_der(der));
  return out;
}

Result<Json> SigningKey::verify(std::string_view token, SystemTime now) const {
  Result<Pieces> pieces = take_apart(token);
  if (!pieces) return std::move(pieces).error();
  // The algorithm is ours to choose, never the token's ("none", HS256 with the public key).
  if (pieces->header.value("alg", Json()) != "ES256") return malformed("is not signed with ES256");

  bool genuine = false;
  if (pieces->signature.size() == kRawSignatureBytes) {
    const std::string der = der_from_raw(pieces->signature);
    const DigestPtr context(EVP_MD_CTX_new());
    genuine = context &&
              EVP_DigestVerifyInit(
                  context.get(), nullptr, EVP_sha256(), nullptr, impl_->key.get()) == 1 &&
              EVP_DigestVerify(context.get(),
                               reinterpret_cast<const unsigned char*>(der.data()),
                               der.size(),
                               reinterpret_cast<const unsigned char*>(pieces->signed_part.data()),
                               pieces->signed_part.size()) == 1;
    ERR_clear_error();
  }
  if (!genuine) {
    return Error(ErrorKind::unauthorized,
                 "token_signature",
                 "the token was not signed by this marketplace's key");
  }
  const Result<SystemTime> expiry = token_expiry(pieces->claims);
  if (!expiry) return expiry.error();
  if (*expiry <= now) {
    return Error(ErrorKind::unauthorized,
                 "token_expired",
                 "the token expired at " + format_rfc3339(*expiry));
  }
  return std::move(pieces->claims);
}

Result<Json> unverified_claims(std::string_view token) {
  Result<Pieces> pieces = take_apart(token);
  if (!pieces) return std::move(pieces).error();
  return std::move(pieces->claims);
}

Result<SystemTime> token_expiry(const Json& claims) {
  const auto exp = claims.is_object() ? claims.find("exp") : claims.end();
  // Seconds since 1970, up to the year 9999: no cast below can overflow.
  constexpr double kLatest = 253402300799.0;
  if (!claims.is_object() || exp == claims.end() || !exp->is_number() ||
      !(exp->get<double>() >= 0.0 && exp->get<double>() <= kLatest)) {
    return malformed("has no \"exp\" that is a time");
  }
  const std::chrono::duration<double> since(exp->get<double>());
  return SystemTime(std::chrono::duration_cast<SystemTime::duration>(since));
}

}  // namespace pn::auth
