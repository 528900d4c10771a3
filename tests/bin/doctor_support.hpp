#pragma once

#include "base/file.hpp"
#include "base/log.hpp"
#include "base/system_clock.hpp"
#include "tests/support/child.hpp"
#include "tests/support/fake_marketplace.hpp"
#include "tests/support/temp_folder.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

// Services that are broken in one way each, on threads of their own, for a posenode that is a
// process of its own.
namespace pn::testing {

/// A clock beside the right one.
class OtherClock final : public Clock {
 public:
  explicit OtherClock(std::chrono::seconds off) : off_(off) {}
  [[nodiscard]] SystemTime system_now() const override { return clock_.system_now() + off_; }
  [[nodiscard]] SteadyTime steady_now() const override { return clock_.steady_now(); }
  Awaitable<void> sleep_until(SteadyTime when) override { return clock_.sleep_until(when); }

 private:
  SystemClock clock_;
  std::chrono::seconds off_;
};

/// A FakeMarketplace that serves until the object goes. Its scripts are set by `script`, before it
/// begins; they run on its thread.
class Services final {
 public:
  explicit Services(const std::function<void(FakeMarketplace&)>& script,
                    std::chrono::seconds off = std::chrono::seconds(0))
      : clock_(off), fake_(loop_.get_executor(), clock_) {
    if (script) script(fake_);
    asio::co_spawn(loop_, fake_.run(), asio::detached);
    thread_ = std::thread([this] { loop_.run(); });
  }
  ~Services() {
    asio::post(loop_, [this] { fake_.request_stop(); });
    thread_.join();
  }
  Services(const Services&) = delete;
  Services& operator=(const Services&) = delete;

  [[nodiscard]] std::string url() const { return fake_.url(); }

 private:
  asio::io_context loop_{1};
  OtherClock clock_;
  FakeMarketplace fake_;
  std::thread thread_;
};

/// A loopback port whose every connection is handed to `serve`, which blocks; one after the other.
class Peer final {
 public:
  using Serve = std::function<void(int connection)>;

  explicit Peer(Serve serve, int backlog = 16) : serve_(std::move(serve)) {
    listener_ = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    auto* const address = reinterpret_cast<sockaddr*>(&at);
    if (::bind(listener_.get(), address, size) != 0 || ::listen(listener_.get(), backlog) != 0 ||
        ::getsockname(listener_.get(), address, &size) != 0) {
      throw std::runtime_error("cannot listen");
    }
    port = ntohs(at.sin_port);
    if (serve_) thread_ = std::thread([this] { accept_all(); });
  }
  ~Peer() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    if (thread_.joinable()) thread_.join();
  }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  [[nodiscard]] std::string at() const { return "127.0.0.1:" + std::to_string(port); }

  int port = 0;

 private:
  void accept_all() const {
    // OpenSSL writes to whoever has gone.
    sigset_t broken_pipe{};
    ::sigemptyset(&broken_pipe);
    ::sigaddset(&broken_pipe, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &broken_pipe, nullptr);
    for (;;) {
      const UniqueFd connection(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!connection) return;
      serve_(connection.get());
    }
  }

  Serve serve_;
  UniqueFd listener_;
  std::thread thread_;
};

/// Reads a request's head, answers `bytes`, hangs up.
inline Peer::Serve answering(std::string bytes) {
  return [bytes = std::move(bytes)](int connection) {
    std::array<char, 8192> head{};
    if (::read(connection, head.data(), head.size()) <= 0) return;
    const Result<void> ignored = write_all(connection, bytes);
    static_cast<void>(ignored.ok());
    ::shutdown(connection, SHUT_WR);
    while (::read(connection, head.data(), head.size()) > 0) {
    }
  };
}

/// A port that nobody listens on: one that was free a moment ago.
inline int closed_port() { return Peer(nullptr).port; }

/// A self-signed certificate and its key.
struct TlsIdentity {
  std::string certificate;  ///< PEM
  std::shared_ptr<EVP_PKEY> key;
  std::shared_ptr<X509> x509;
};

/// `names` as in subjectAltName: "IP:127.0.0.1". Valid until `ends` seconds from now.
inline TlsIdentity tls_identity(const std::string& names, long ends) {
  TlsIdentity out;
  out.key = {EVP_EC_gen("P-256"), EVP_PKEY_free};
  out.x509 = {X509_new(), X509_free};
  X509* const x509 = out.x509.get();
  X509_set_version(x509, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(x509), 1);
  X509_gmtime_adj(X509_getm_notBefore(x509), -7200);
  X509_gmtime_adj(X509_getm_notAfter(x509), ends);
  X509_set_pubkey(x509, out.key.get());
  X509_NAME* subject = X509_get_subject_name(x509);
  X509_NAME_add_entry_by_txt(
      subject, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("test"), -1, -1, 0);
  X509_set_issuer_name(x509, subject);
  X509_EXTENSION* extension =
      X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, names.c_str());
  X509_add_ext(x509, extension, -1);
  X509_EXTENSION_free(extension);
  X509_sign(x509, out.key.get(), EVP_sha256());
  BIO* bio = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(bio, x509);
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio, &text);
  out.certificate.assign(text, static_cast<std::size_t>(size));
  BIO_free(bio);
  return out;
}

/// Answers `bytes` over TLS.
inline Peer::Serve tls_answering(const TlsIdentity& identity, std::string bytes) {
  const std::shared_ptr<SSL_CTX> context(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
  SSL_CTX_use_certificate(context.get(), identity.x509.get());
  SSL_CTX_use_PrivateKey(context.get(), identity.key.get());
  return [context, bytes = std::move(bytes)](int connection) {
    const std::unique_ptr<SSL, void (*)(SSL*)> tls(SSL_new(context.get()), SSL_free);
    SSL_set_fd(tls.get(), connection);
    if (SSL_accept(tls.get()) != 1) return;
    std::array<char, 8192> head{};
    if (SSL_read(tls.get(), head.data(), head.size()) <= 0) return;
    SSL_write(tls.get(), bytes.data(), static_cast<int>(bytes.size()));
    SSL_shutdown(tls.get());
  };
}

}  // namespace pn::testing
