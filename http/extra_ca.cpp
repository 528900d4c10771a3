#include "http/extra_ca.hpp"

#include "base/file.hpp"
#include "base/result.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

namespace pn::http {
namespace {

constexpr std::uint64_t kFileLimit = 4 * 1024 * 1024;

struct Free {
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(BIO* bio) const { BIO_free(bio); }
};

Error refused(const std::string& file, std::string_view why) {
  return {ErrorKind::rejected,
          "ca_file",
          "EXTRA_CA_FILE=" + file + ": " + std::string(why) +
              "; it must be a readable file of PEM certificates"};
}

}  // namespace

struct ExtraCa::Impl {
  std::vector<std::unique_ptr<X509, Free>> certificates;
};

ExtraCa::ExtraCa(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ExtraCa::~ExtraCa() = default;

Result<std::unique_ptr<ExtraCa>> ExtraCa::load(const std::string& file) {
  Result<std::string> text = read_file(file, kFileLimit);
  if (!text.ok()) return refused(file, text.error().detail);
  const std::unique_ptr<BIO, Free> bio(
      BIO_new_mem_buf(text->data(), static_cast<int>(text->size())));
  auto impl = std::make_unique<Impl>();
  while (X509* certificate = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) {
    impl->certificates.emplace_back(certificate);
  }
  // The end of the text shows as "no start line"; anything else is a damaged certificate.
  const unsigned long last = ERR_peek_last_error();
  ERR_clear_error();
  if (ERR_GET_REASON(last) != PEM_R_NO_START_LINE) return refused(file, "a certificate is damaged");
  if (impl->certificates.empty()) return refused(file, "it holds no certificate");
  return std::unique_ptr<ExtraCa>(new ExtraCa(std::move(impl)));
}

bool ExtraCa::add_to(void* ssl_context) const {
  X509_STORE* store = SSL_CTX_get_cert_store(static_cast<SSL_CTX*>(ssl_context));
  if (store == nullptr) return false;
  for (const auto& certificate : impl_->certificates) {
    // One that is there already (libcurl shares the store between connections) counts as added.
    if (X509_STORE_add_cert(store, certificate.get()) != 1) return false;
  }
  return true;
}

}  // namespace pn::http
