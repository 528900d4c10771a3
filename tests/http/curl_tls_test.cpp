#include "base/awaitable.hpp"
#include "base/result.hpp"
#include "http/client.hpp"
#include "http/url.hpp"
#include "tests/http/scripted_server.hpp"
#include "tests/support/test_loop.hpp"

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>

#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/impl/src.hpp>  // the one file of this binary that speaks TLS
#include <boost/asio/ssl/stream.hpp>
#include <catch2/catch.hpp>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <unistd.h>

namespace pn::http {
namespace {

using testing::http_answer;
using testing::Tcp;
using testing::TestLoop;
namespace ssl = boost::asio::ssl;

/// A self-signed certificate for 127.0.0.1 and its key, as PEM.
struct Identity {
  std::string certificate;
  std::string key;
};

std::string text_of(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string out(data, static_cast<std::size_t>(size));
  BIO_free(bio);
  return out;
}

Identity make_identity() {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* certificate = X509_new();
  X509_set_version(certificate, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
  X509_set_pubkey(certificate, key);
  X509_NAME* subject = X509_get_subject_name(certificate);
  X509_NAME_add_entry_by_txt(
      subject, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("test"), -1, -1, 0);
  X509_set_issuer_name(certificate, subject);
  X509_EXTENSION* names =
      X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, "IP:127.0.0.1");
  X509_add_ext(certificate, names, -1);
  X509_EXTENSION_free(names);
  X509_sign(certificate, key, EVP_sha256());

  Identity out;
  BIO* bio = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(bio, certificate);
  out.certificate = text_of(bio);
  bio = BIO_new(BIO_s_mem());
  PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr);
  out.key = text_of(bio);
  X509_free(certificate);
  EVP_PKEY_free(key);
  return out;
}

class TempFile {
 public:
  explicit TempFile(const std::string& text) {
    std::string name = (std::filesystem::temp_directory_path() / "pn-ca-XXXXXX").string();
    ::close(::mkstemp(name.data()));
    path = name;
    std::ofstream(path) << text;
  }
  ~TempFile() { std::filesystem::remove(path); }
  std::string path;
};

/// Answers "secure" once per connection.
class TlsServer {
 public:
  TlsServer(TestLoop& loop, const Identity& identity)
      : context_(ssl::context::tls_server),
        acceptor_(loop.context, Tcp::endpoint(asio::ip::address_v4::loopback(), 0)) {
    context_.use_certificate(asio::buffer(identity.certificate), ssl::context::pem);
    context_.use_private_key(asio::buffer(identity.key), ssl::context::pem);
    asio::co_spawn(loop.context, accept(), asio::detached);
  }
  [[nodiscard]] Url url() const {
    const std::string port = std::to_string(acceptor_.local_endpoint().port());
    return *Url::parse("https://127.0.0.1:" + port + "/");
  }

 private:
  Awaitable<void> accept() {
    for (;;) {
      Tcp::socket socket = co_await acceptor_.async_accept(asio::use_awaitable);
      asio::co_spawn(acceptor_.get_executor(), serve(std::move(socket)), asio::detached);
    }
  }
  Awaitable<void> serve(Tcp::socket socket) {
    try {
      ssl::stream<Tcp::socket> stream(std::move(socket), context_);
      co_await stream.async_handshake(ssl::stream_base::server, asio::use_awaitable);
      std::string head(4096, '\0');
      co_await stream.async_read_some(asio::buffer(head), asio::use_awaitable);
      const std::string answer = http_answer(200, "secure");
      co_await asio::async_write(stream, asio::buffer(answer), asio::use_awaitable);
      co_await stream.async_read_some(asio::buffer(head), asio::use_awaitable);
    } catch (const boost::system::system_error&) {
    }
  }

  ssl::context context_;
  Tcp::acceptor acceptor_;
};

}  // namespace

TEST_CASE("tls: a private authority is trusted when its file is given", "[http][client][tls]") {
  const Identity identity = make_identity();
  const Identity other = make_identity();
  TestLoop loop;
  TlsServer server(loop, identity);
  ClientOptions options;

  SECTION("not given") {
    const std::unique_ptr<HttpClient> client = *make_http_client(loop.executor(), options);
    const Result<Response> response = loop.run(client->send(Request(server.url())));
    REQUIRE_FALSE(response.ok());
    CHECK(response.error().code == "curl_certificate");
    CHECK_THAT(response.error().detail, Catch::Contains("EXTRA_CA_FILE"));
  }
  SECTION("given, among others") {
    const TempFile file("# ours\n" + other.certificate + "\n" + identity.certificate);
    options.extra_ca_file = file.path;
    const std::unique_ptr<HttpClient> client = *make_http_client(loop.executor(), options);
    for (int i = 0; i < 2; ++i) {
      const Result<Response> response = loop.run(client->send(Request(server.url())));
      INFO((response.ok() ? "" : to_string(response.error())));
      REQUIRE(response.ok());
      CHECK(response->body == "secure");
    }
  }
  SECTION("another one given") {
    const TempFile file(other.certificate);
    options.extra_ca_file = file.path;
    const std::unique_ptr<HttpClient> client = *make_http_client(loop.executor(), options);
    const Result<Response> response = loop.run(client->send(Request(server.url())));
    REQUIRE_FALSE(response.ok());
    CHECK(response.error().code == "curl_certificate");
  }
}

TEST_CASE("tls: a CA file that is of no use is refused at once", "[http][client][tls]") {
  TestLoop loop;
  ClientOptions options;
  const auto refusal = [&](const std::string& path) {
    options.extra_ca_file = path;
    const Result<std::unique_ptr<HttpClient>> client = make_http_client(loop.executor(), options);
    REQUIRE_FALSE(client.ok());
    CHECK(client.error().kind == ErrorKind::rejected);
    CHECK_THAT(client.error().detail, Catch::Contains("EXTRA_CA_FILE " + path));
    return client.error().detail;
  };
  const TempFile empty("");
  const TempFile damaged("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
  CHECK_THAT(refusal("/no/such/file.pem"), Catch::Contains("No such file"));
  CHECK_THAT(refusal(empty.path), Catch::Contains("no certificate"));
  CHECK_THAT(refusal(damaged.path), Catch::Contains("damaged"));
}

}  // namespace pn::http
