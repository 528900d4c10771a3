#pragma once

#include <array>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace pn {

using Sha256Digest = std::array<unsigned char, 32>;

/// SHA-256 (FIPS 180-4) of what comes in pieces.
class Sha256 final {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;

  void update(std::string_view bytes);
  /// Once; the object is used up.
  Sha256Digest finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

Sha256Digest sha256(std::string_view bytes);
std::string sha256_hex(std::string_view bytes);

}  // namespace pn
