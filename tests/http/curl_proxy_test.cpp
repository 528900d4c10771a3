#include "base/awaitable.hpp"
#include "base/result.hpp"
#include "http/client.hpp"
#include "http/url.hpp"
#include "tests/http/scripted_server.hpp"
#include "tests/support/test_loop.hpp"

#include <memory>
#include <string>
#include <utility>

#include <catch2/catch.hpp>

namespace pn::http {
namespace {

using testing::http_answer;
using testing::ScriptedConnection;
using testing::ScriptedServer;
using testing::TestLoop;

struct World {
  TestLoop loop;
  std::string seen;
  int tunnel_status = 407;
  int plain_status = 200;
  ScriptedServer proxy{loop, [this](ScriptedConnection& c, int) -> Awaitable<void> {
                         seen = co_await c.read_head();
                         if (seen.starts_with("CONNECT")) {
                           co_await c.write(http_answer(tunnel_status, "no"));
                         } else {
                           co_await c.write(http_answer(plain_status, "by proxy"));
                         }
                         co_await c.until_closed();
                       }};

  Result<Response> get(const Url& url, std::string no_proxy) {
    ClientOptions options;
    options.allow_plain_http = true;
    options.https_proxy = "http://operator:pass%40word@127.0.0.1:" + std::to_string(proxy.port());
    options.http_proxy = options.https_proxy;
    options.no_proxy = std::move(no_proxy);
    options.connect_timeout = std::chrono::milliseconds(400);
    const std::unique_ptr<HttpClient> client = *make_http_client(loop.executor(), options);
    Request request(url);
    request.timeout = std::chrono::milliseconds(2000);
    request.headers.set("Authorization", "Bearer node-token");
    return loop.run(client->send(std::move(request)));
  }
};

Url url(std::string_view text) { return *Url::parse(text); }

}  // namespace

TEST_CASE("proxy: plain requests go in absolute form, with the proxy's credentials",
          "[http][client][proxy]") {
  World world;
  const Result<Response> response = world.get(url("http://market.invalid/v1/x?y=1"), "");
  REQUIRE(response.ok());
  CHECK(response->body == "by proxy");
  CHECK_THAT(world.seen, Catch::StartsWith("GET http://market.invalid/v1/x?y=1 HTTP/1.1\r\n"));
  // operator:pass@word
  CHECK_THAT(world.seen,
             Catch::Contains("Proxy-Authorization: Basic b3BlcmF0b3I6cGFzc0B3b3Jk\r\n"));
}

TEST_CASE("proxy: https goes through a tunnel, our token does not reach the proxy",
          "[http][client][proxy]") {
  World world;
  const Result<Response> response = world.get(url("https://market.invalid/v1/x"), "");
  REQUIRE_FALSE(response.ok());
  CHECK(response.error().kind == ErrorKind::retry);
  CHECK(response.error().code == "proxy_auth");
  CHECK_THAT(response.error().detail, Catch::Contains("407"));
  CHECK_THAT(response.error().detail, Catch::Contains("HTTPS_PROXY"));
  CHECK_THAT(response.error().detail,
             !Catch::Contains("pass%40word") && !Catch::Contains("pass@word"));
  CHECK_THAT(world.seen, Catch::StartsWith("CONNECT market.invalid:443 HTTP/1.1\r\n"));
  CHECK_THAT(world.seen, !Catch::Contains("node-token"));
}

TEST_CASE("proxy: NO_PROXY names hosts, suffixes and networks", "[http][client][proxy]") {
  const auto [host, no_proxy, proxied] = GENERATE(table<const char*, const char*, bool>({
      {"market.invalid", "other.invalid", true},
      {"market.invalid", "market.invalid", false},
      {"MARKET.invalid", "market.INVALID", false},
      {"a.market.invalid", "market.invalid", false},
      {"a.market.invalid", ".market.invalid", false},
      {"supermarket.invalid", "market.invalid", true},
      {"market.invalid", "x.invalid, market.invalid ,y.invalid", false},
      {"market.invalid", "*", false},
      {"192.0.2.7", "192.0.2.0/24", false},
      {"192.0.3.7", "192.0.2.0/24", true},
      {"[2001:db8::7]", "2001:db8::/32", false},
      {"[2001:db9::7]", "2001:db8::/32", true},
      {"market.invalid", "market.invalid:9", false},
      {"market.invalid", "market.invalid:10", true},
      {"127.0.0.1", "", false},
  }));
  World world;
  const Result<Response> response = world.get(url("http://" + std::string(host) + ":9/"), no_proxy);
  INFO(host << " with " << no_proxy);
  CHECK(world.seen.empty() == !proxied);
  CHECK(response.ok() == proxied);
}

TEST_CASE("proxy: one that is down is told from a server that is down", "[http][client][proxy]") {
  World world;
  world.proxy.close();
  const Result<Response> response = world.get(url("http://market.invalid/"), "");
  REQUIRE_FALSE(response.ok());
  CHECK(response.error().kind == ErrorKind::retry);
  CHECK(response.error().code == "proxy_connect");
  CHECK_THAT(response.error().detail, Catch::Contains("HTTP_PROXY"));
  CHECK_THAT(response.error().detail, Catch::Contains(std::to_string(world.proxy.port())));
  CHECK_THAT(response.error().detail,
             !Catch::Contains("pass%40word") && !Catch::Contains("pass@word"));
}

TEST_CASE("proxy: each scheme has its own", "[http][client][proxy]") {
  World world;
  const std::string at = "http://127.0.0.1:" + std::to_string(world.proxy.port());
  ClientOptions options;
  options.allow_plain_http = true;
  options.connect_timeout = std::chrono::milliseconds(400);
  const bool secure = GENERATE(true, false);
  (secure ? options.https_proxy : options.http_proxy) = at;
  const std::unique_ptr<HttpClient> client = *make_http_client(world.loop.executor(), options);
  for (const bool asked : {true, false}) {
    world.seen.clear();
    Request request(url(asked ? "https://market.invalid/" : "http://market.invalid/"));
    static_cast<void>(world.loop.run(client->send(std::move(request))).ok());
    CHECK(world.seen.empty() == (asked != secure));
  }
}

TEST_CASE("proxy: its 407 is no answer of the server's, whose refusals settle things",
          "[http][client][proxy]") {
  World world;
  world.plain_status = 407;
  const Result<Response> response = world.get(url("http://market.invalid/v1/x"), "");
  REQUIRE_FALSE(response.ok());
  CHECK(response.error().kind == ErrorKind::retry);
  CHECK(response.error().code == "proxy_auth");
  CHECK_THAT(response.error().detail, Catch::Contains("HTTP_PROXY"));
  CHECK_THAT(response.error().detail, !Catch::Contains("pass%40word"));
}

TEST_CASE("proxy: one that lets nobody through to a host says so", "[http][client][proxy]") {
  World world;
  world.tunnel_status = GENERATE(403, 503);
  const Result<Response> response = world.get(url("https://market.invalid/v1/x"), "");
  REQUIRE_FALSE(response.ok());
  CHECK(response.error().kind == ErrorKind::retry);
  CHECK(response.error().code == "proxy_refused");
  CHECK_THAT(response.error().detail, Catch::Contains(std::to_string(world.tunnel_status)));
  CHECK_THAT(response.error().detail, Catch::Contains("market.invalid in NO_PROXY"));
}

TEST_CASE("proxy: text that is no URL is refused without repeating it", "[http][client][proxy]") {
  TestLoop loop;
  ClientOptions options;
  const bool secure = GENERATE(true, false);
  (secure ? options.https_proxy : options.http_proxy) = "http://operator:secret@:99999";
  const Result<std::unique_ptr<HttpClient>> client = make_http_client(loop.executor(), options);
  REQUIRE_FALSE(client.ok());
  CHECK(client.error().kind == ErrorKind::rejected);
  CHECK_THAT(client.error().detail, Catch::StartsWith(secure ? "HTTPS_PROXY " : "HTTP_PROXY "));
  CHECK_THAT(client.error().detail, !Catch::Contains("secret"));
}

}  // namespace pn::http
