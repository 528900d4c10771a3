#pragma once

#include "base/result.hpp"

#include <memory>
#include <string>

namespace pn::http {

/// Authorities that are trusted besides the system's: read once, put into each TLS context beside
/// the system's bundle, so that a public server stays reachable. Not a merged bundle: libcurl would
/// parse that anew for every connection, and could not share its store.
class ExtraCa final {
 public:
  /// Blocks on a small file. Kind `rejected`, naming EXTRA_CA_FILE, when it cannot be read or holds
  /// no certificate.
  static Result<std::unique_ptr<ExtraCa>> load(const std::string& file);
  ~ExtraCa();
  ExtraCa(const ExtraCa&) = delete;
  ExtraCa& operator=(const ExtraCa&) = delete;

  /// `ssl_context` is an SSL_CTX*. False when OpenSSL does not take one.
  bool add_to(void* ssl_context) const;

 private:
  struct Impl;
  explicit ExtraCa(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace pn::http
