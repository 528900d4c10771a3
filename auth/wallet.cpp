#include "auth/wallet.hpp"

#include "base/encoding.hpp"
#include "base/result.hpp"
#include "base/secret.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <cryptopp/keccak.h>
#include <openssl/crypto.h>
#include <secp256k1.h>
#include <secp256k1_recovery.h>

namespace pn::auth {
namespace {

using Hash = std::array<unsigned char, 32>;

constexpr std::size_t kSignatureBytes = 65;  // r || s || v

struct FreeContext {
  void operator()(secp256k1_context* held) const { secp256k1_context_destroy(held); }
};

/// What personal_sign signs (EIP-191, version 0x45).
Hash personal_hash(std::string_view message) {
  std::string prefixed(
      "\x19"
      "Ethereum Signed Message:\n");
  prefixed += std::to_string(message.size());
  prefixed += message;
  return keccak256(prefixed);
}

/// The last 20 bytes of Keccak-256(X || Y).
EthAddress address_of(const secp256k1_context& context, const secp256k1_pubkey& key) {
  std::array<unsigned char, 65> point{};  // 0x04 || X || Y
  std::size_t size = point.size();
  secp256k1_ec_pubkey_serialize(&context, point.data(), &size, &key, SECP256K1_EC_UNCOMPRESSED);
  const std::string coordinates(point.begin() + 1, point.end());
  const Hash hash = keccak256(coordinates);
  return EthAddress("0x" + to_hex(std::span(hash).subspan(12)));
}

Error bad_key() {
  return {ErrorKind::rejected,
          "wallet_key",
          "the key is not 32 bytes in hex between 1 and the curve's order (with or without 0x)"};
}

Error bad_signature(std::string_view why) {
  return {ErrorKind::rejected, "signature_malformed", "the signature " + std::string(why)};
}

}  // namespace

std::array<unsigned char, 32> keccak256(std::string_view bytes) {
  CryptoPP::Keccak_256 keccak;
  keccak.Update(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  std::array<unsigned char, 32> out{};
  keccak.Final(out.data());
  return out;
}

Result<EthAddress> parse_eth_address(std::string_view text) {
  const bool prefixed = text.starts_with("0x") || text.starts_with("0X");
  const auto bytes = prefixed ? from_hex(text.substr(2)) : std::nullopt;
  if (!bytes || bytes->size() != 20) {
    return Error(ErrorKind::rejected, "address_syntax", "an address is 0x and 40 hex digits");
  }
  return EthAddress("0x" + to_hex(*bytes));
}

struct Wallet::Impl {
  Impl() : context(secp256k1_context_create(SECP256K1_CONTEXT_NONE)) {
    if (!context) throw std::runtime_error("libsecp256k1 gave no context");
  }
  ~Impl() { OPENSSL_cleanse(key.data(), key.size()); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  std::unique_ptr<secp256k1_context, FreeContext> context;
  std::array<unsigned char, 32> key{};
  EthAddress address;
};

Wallet::Wallet(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Wallet::~Wallet() = default;
Wallet::Wallet(Wallet&&) noexcept = default;
Wallet& Wallet::operator=(Wallet&&) noexcept = default;

Result<Wallet> Wallet::from_hex(const Secret<std::string>& hex) {
  auto bytes = pn::from_hex(hex.reveal());
  if (!bytes) return bad_key();
  auto impl = std::make_unique<Impl>();
  const bool right_size = bytes->size() == impl->key.size();
  if (right_size) std::copy(bytes->begin(), bytes->end(), impl->key.begin());
  OPENSSL_cleanse(bytes->data(), bytes->size());
  secp256k1_pubkey point{};
  if (!right_size ||
      secp256k1_ec_pubkey_create(impl->context.get(), &point, impl->key.data()) != 1) {
    return bad_key();
  }
  impl->address = address_of(*impl->context, point);
  return Wallet(std::move(impl));
}

const EthAddress& Wallet::address() const { return impl_->address; }

std::string Wallet::sign_personal(std::string_view message) const {
  const Hash hash = personal_hash(message);
  secp256k1_ecdsa_recoverable_signature signature{};
  // No nonce function of ours: the library's default is RFC 6979, and its signatures have a low s.
  if (secp256k1_ecdsa_sign_recoverable(
          impl_->context.get(), &signature, hash.data(), impl_->key.data(), nullptr, nullptr) !=
      1) {
    throw std::runtime_error("libsecp256k1 refused to sign with a key it had accepted");
  }
  std::array<unsigned char, kSignatureBytes> out{};
  int recovery_id = 0;
  secp256k1_ecdsa_recoverable_signature_serialize_compact(
      impl_->context.get(), out.data(), &recovery_id, &signature);
  out.back() = static_cast<unsigned char>(27 + recovery_id);
  return "0x" + to_hex(out);
}

Result<EthAddress> recover_personal(std::string_view message, std::string_view signature_hex) {
  const auto bytes = from_hex(signature_hex);
  if (!bytes || bytes->size() != kSignatureBytes) {
    return bad_signature("is not 0x and 130 hex digits");
  }
  // 0 and 1 are what some wallets write for 27 and 28.
  const int v = bytes->back();
  const int recovery_id = v >= 27 ? v - 27 : v;
  if (recovery_id > 1) return bad_signature("does not end in 27 or 28");

  secp256k1_ecdsa_recoverable_signature signature{};
  if (secp256k1_ecdsa_recoverable_signature_parse_compact(
          secp256k1_context_static, &signature, bytes->data(), recovery_id) != 1) {
    return bad_signature("holds numbers outside the curve's order");
  }
  const Hash hash = personal_hash(message);
  secp256k1_pubkey point{};
  if (secp256k1_ecdsa_recover(secp256k1_context_static, &point, &signature, hash.data()) != 1) {
    return bad_signature("belongs to no key");
  }
  return address_of(*secp256k1_context_static, point);
}

}  // namespace pn::auth
