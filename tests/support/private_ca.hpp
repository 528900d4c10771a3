#pragma once

#include <initializer_list>
#include <memory>
#include <string>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

namespace pn::testing {

/// A certificate with its chain, and its key, as PEM.
struct ServerIdentity {
  std::string certificate;
  std::string key;
};

/// A certificate authority that nobody but a test trusts. Its servers' certificates hold for an
/// hour.
class PrivateCa final {
 public:
  PrivateCa() {
    sign(*x509_, "CA of a test", *x509_, {{NID_basic_constraints, "critical,CA:TRUE"}});
  }

  /// PEM, as for EXTRA_CA_FILE.
  [[nodiscard]] std::string certificate() const { return pem(*x509_); }

  /// `names` as in subjectAltName: "DNS:dms.test,IP:127.0.0.1".
  [[nodiscard]] ServerIdentity issue(const std::string& names) const {
    const Key key = new_key();
    const Certificate x509(X509_new());
    X509_set_pubkey(x509.get(), key.get());
    sign(*x509, "server of a test", *x509_, {{NID_subject_alt_name, names}});
    BIO* bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(bio, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
    return {.certificate = pem(*x509), .key = text_of(bio)};
  }

 private:
  template <auto Free>
  struct Freed {
    template <class T>
    void operator()(T* held) const {
      Free(held);
    }
  };
  using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
  using Certificate = std::unique_ptr<X509, Freed<X509_free>>;
  struct Extension {
    int id;
    std::string value;
  };

  static Key new_key() { return Key(EVP_EC_gen("P-256")); }

  void sign(X509& x509,
            const char* name,
            X509& issuer,
            const std::initializer_list<Extension>& extensions) const {
    static int serial = 0;
    X509_set_version(&x509, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(&x509), ++serial);
    // OpenSSL looks an issuer up by its name: two of one name would be taken for each other.
    const std::string common_name = std::string(name) + " " + std::to_string(serial);
    X509_gmtime_adj(X509_getm_notBefore(&x509), -3600);
    X509_gmtime_adj(X509_getm_notAfter(&x509), 3600);
    if (&x509 == &issuer) X509_set_pubkey(&x509, key_.get());
    X509_NAME_add_entry_by_txt(X509_get_subject_name(&x509),
                               "CN",
                               MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>(common_name.c_str()),
                               -1,
                               -1,
                               0);
    X509_set_issuer_name(&x509, X509_get_subject_name(&issuer));
    for (const Extension& extension : extensions) {
      X509_EXTENSION* made =
          X509V3_EXT_conf_nid(nullptr, nullptr, extension.id, extension.value.c_str());
      X509_add_ext(&x509, made, -1);
      X509_EXTENSION_free(made);
    }
    X509_sign(&x509, key_.get(), EVP_sha256());
  }

  static std::string pem(X509& x509) {
    BIO* bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(bio, &x509);
    return text_of(bio);
  }
  static std::string text_of(BIO* bio) {
    char* data = nullptr;
    const long size = BIO_get_mem_data(bio, &data);
    std::string out(data, static_cast<std::size_t>(size));
    BIO_free(bio);
    return out;
  }

  Key key_ = new_key();
  Certificate x509_{X509_new()};
};

}  // namespace pn::testing
