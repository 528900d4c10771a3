#include "base/awaitable.hpp"
#include "base/result.hpp"
#include "http/client.hpp"
#include "http/url.hpp"
#include "tests/http/scripted_server.hpp"
#include "tests/support/private_ca.hpp"
#include "tests/support/relay.hpp"
#include "tests/support/temp_folder.hpp"
#include "tests/support/test_loop.hpp"

#include <memory>
#include <string>

#include <boost/asio/buffer.hpp>
#include <boost/asio/ssl/impl/src.hpp>  // the one file of this binary that speaks TLS
#include <catch2/catch.hpp>

namespace pn::http {
namespace {

using testing::http_answer;
using testing::PrivateCa;
using testing::RelayListener;
using testing::RelayStreamPtr;
using testing::ServerIdentity;
using testing::TempFolder;
using testing::TestLoop;

struct World {
  TestLoop loop;
  TempFolder folder;
  PrivateCa ca;
  PrivateCa other;
  ServerIdentity identity = ca.issue("IP:127.0.0.1");
  std::string seen;
  /// Answers "secure", whatever it is asked for: a server, or a proxy.
  RelayListener server{loop.context, &identity, [this](RelayStreamPtr client) -> Awaitable<void> {
                         seen = co_await client->read_head();
                         const std::string answer = http_answer(200, "secure");
                         co_await client->write(asio::buffer(answer));
                         const std::string end = co_await client->read_head();
                       }};
  ClientOptions options;

  [[nodiscard]] std::string at() const {
    return "https://127.0.0.1:" + std::to_string(server.port());
  }
  void trust(const std::string& certificates) {
    options.extra_ca_file = folder.write("ca.pem", certificates).string();
  }
  Result<Response> get(const std::string& url, int times = 1) {
    const std::unique_ptr<HttpClient> client = *make_http_client(loop.executor(), options);
    Result<Response> response = Error(ErrorKind::internal, "none", "not asked");
    for (int i = 0; i < times; ++i) {
      response = loop.run(client->send(Request(*Url::parse(url))));
    }
    return response;
  }
};

}  // namespace

TEST_CASE("tls: a private authority is trusted when its file is given", "[http][client][tls]") {
  World world;
  SECTION("not given") {
    const Result<Response> response = world.get(world.at());
    REQUIRE_FALSE(response.ok());
    CHECK(response.error().code == "curl_certificate");
    CHECK_THAT(response.error().detail, Catch::Contains("EXTRA_CA_FILE"));
  }
  SECTION("given, among others") {
    world.trust("# ours\n" + world.other.certificate() + "\n" + world.ca.certificate());
    const Result<Response> response = world.get(world.at(), 2);
    INFO((response.ok() ? "" : to_string(response.error())));
    REQUIRE(response.ok());
    CHECK(response->body == "secure");
  }
  SECTION("another one given") {
    world.trust(world.other.certificate());
    const Result<Response> response = world.get(world.at());
    REQUIRE_FALSE(response.ok());
    CHECK(response.error().code == "curl_certificate");
  }
}

TEST_CASE("tls: a proxy's certificate is checked as a server's is", "[http][client][tls]") {
  World world;
  world.options.allow_plain_http = true;
  const std::string at = "https://me:hidden@127.0.0.1:" + std::to_string(world.server.port());
  world.options.https_proxy = world.options.http_proxy = at;
  SECTION("a stranger") {
    const std::string url = GENERATE("http://market.invalid/x", "https://market.invalid/x");
    const Result<Response> response = world.get(url);
    REQUIRE_FALSE(response.ok());
    CHECK(response.error().code == "proxy_certificate");
    CHECK_THAT(response.error().detail, Catch::Contains("EXTRA_CA_FILE"));
    CHECK_THAT(response.error().detail, !Catch::Contains("hidden"));
    CHECK(world.seen.empty());
  }
  SECTION("one that the extra authority knows") {
    world.trust(world.ca.certificate());
    const Result<Response> response = world.get("http://market.invalid/x");
    INFO((response.ok() ? "" : to_string(response.error())));
    REQUIRE(response.ok());
    CHECK(response->body == "secure");
    CHECK_THAT(world.seen, Catch::StartsWith("GET http://market.invalid/x HTTP/1.1\r\n"));
  }
}

TEST_CASE("tls: a CA file that is of no use is refused at once", "[http][client][tls]") {
  World world;
  const auto refusal = [&](const std::string& path) {
    world.options.extra_ca_file = path;
    const Result<std::unique_ptr<HttpClient>> client =
        make_http_client(world.loop.executor(), world.options);
    REQUIRE_FALSE(client.ok());
    CHECK(client.error().kind == ErrorKind::rejected);
    CHECK_THAT(client.error().detail, Catch::Contains("EXTRA_CA_FILE=" + path));
    return client.error().detail;
  };
  const std::string empty = world.folder.write("empty.pem", "").string();
  const std::string damaged =
      world.folder
          .write("damaged.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
          .string();
  CHECK_THAT(refusal("/no/such/file.pem"), Catch::Contains("No such file"));
  CHECK_THAT(refusal(empty), Catch::Contains("no certificate"));
  CHECK_THAT(refusal(damaged), Catch::Contains("damaged"));
}

}  // namespace pn::http
