#include "market/part_etag.hpp"

#include "base/encoding.hpp"

#include <array>
#include <cstddef>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/types.h>

namespace pn::market {

/// AES-GMAC under a key that is no secret: a checksum of 128 bits for which processors have
/// instructions.
struct PartEtag::Impl {
  struct Free {
    void operator()(EVP_MAC* held) const { EVP_MAC_free(held); }
    void operator()(EVP_MAC_CTX* held) const { EVP_MAC_CTX_free(held); }
  };
  std::unique_ptr<EVP_MAC, Free> mac{EVP_MAC_fetch(nullptr, "GMAC", nullptr)};
  std::unique_ptr<EVP_MAC_CTX, Free> context{EVP_MAC_CTX_new(mac.get())};
};

PartEtag::PartEtag() : impl_(std::make_unique<Impl>()) {
  std::string cipher("AES-128-GCM");
  std::array<unsigned char, 16> key{'p', 'o', 's', 'e', 'n', 'o', 'd', 'e'};
  std::array<unsigned char, 12> nonce{};
  const std::array<OSSL_PARAM, 3> params{
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_CIPHER, cipher.data(), 0),
      OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_IV, nonce.data(), nonce.size()),
      OSSL_PARAM_construct_end()};
  if (!impl_->context ||
      EVP_MAC_init(impl_->context.get(), key.data(), key.size(), params.data()) != 1) {
    throw std::runtime_error("OpenSSL offers no GMAC");
  }
}

PartEtag::~PartEtag() = default;

void PartEtag::update(std::string_view bytes) {
  EVP_MAC_update(
      impl_->context.get(), reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
}

std::string PartEtag::finish() {
  std::array<unsigned char, 16> out{};
  std::size_t size = 0;
  EVP_MAC_final(impl_->context.get(), out.data(), &size, out.size());
  return to_hex(out);
}

}  // namespace pn::market
