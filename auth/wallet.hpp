#pragma once

#include "base/result.hpp"
#include "base/secret.hpp"
#include "base/strong_id.hpp"

#include <array>
#include <memory>
#include <string>
#include <string_view>

namespace pn::auth {

/// "0x" + 40 lower-case hex digits.
using EthAddress = StrongId<struct EthAddressTag>;

/// Any case of hex digits, made lower; nothing when it is no address.
Result<EthAddress> parse_eth_address(std::string_view text);

/// Keccak-256 with the pre-NIST padding (not SHA3-256).
std::array<unsigned char, 32> keccak256(std::string_view bytes);

/// A secp256k1 key. The key's bytes are wiped by the destructor and never leave the object.
class Wallet final {
 public:
  /// 32 bytes in hex of any case, with or without 0x. Kind `rejected` (never naming the value) when
  /// it is not, or is zero or not below the curve's order.
  static Result<Wallet> from_hex(const Secret<std::string>& hex);
  ~Wallet();
  Wallet(Wallet&&) noexcept;
  Wallet& operator=(Wallet&&) noexcept;

  [[nodiscard]] const EthAddress& address() const;

  /// EIP-191 personal_sign, RFC 6979 deterministic, low s: "0x" + hex of r || s || v, v 27 or 28
  /// (132 characters).
  [[nodiscard]] std::string sign_personal(std::string_view message) const;

 private:
  struct Impl;
  explicit Wallet(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// The address whose key signed `message` by personal_sign. Kind `rejected` for a malformed
/// signature.
Result<EthAddress> recover_personal(std::string_view message, std::string_view signature_hex);

}  // namespace pn::auth
