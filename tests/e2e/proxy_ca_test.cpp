#include "tests/e2e/scene.hpp"
#include "tests/support/child.hpp"
#include "tests/support/fake_marketplace.hpp"
#include "tests/support/forward_proxy.hpp"
#include "tests/support/private_ca.hpp"
#include "tests/support/relay.hpp"

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include <boost/asio/ssl/impl/src.hpp>  // the one file of this binary that speaks TLS
#include <catch2/catch.hpp>
#include <signal.h>

// A node that reaches nothing but two proxies: no resolver knows the names of its services. DDS and
// DMS speak TLS by a private authority, the domain server plain http, as on a private network.

using namespace pn;           // NOLINT(google-build-using-namespace)
using namespace pn::testing;  // NOLINT(google-build-using-namespace)
using namespace std::chrono_literals;

namespace {

const char* const kSecurePassword = "s3cure-pa%55word";  // percent-encoded: "s3cure-paUword"
const char* const kPlainPassword = "pl4in-password";

struct World {
  Scene scene;
  PrivateCa ca;
  ServerIdentity identity = ca.issue("DNS:dds.test,DNS:dms.test");
  ServerIdentity proxy_identity = ca.issue("IP:127.0.0.1");
  std::uint16_t market = http::Url::parse(scene.market.url()).value().port();
  RelayListener services{scene.context, &identity, to_market()};
  RelayListener domain{scene.context, nullptr, to_market()};
  ForwardProxy secure;
  ForwardProxy plain{scene.context, "op:" + std::string(kPlainPassword)};
  std::map<std::string, std::string> settings;

  explicit World(bool tls_to_the_proxy = false)
      : secure(scene.context, "op:s3cure-paUword", tls_to_the_proxy ? &proxy_identity : nullptr) {
    for (const char* name : {"dds.test:443", "dms.test:443"}) secure.route(name, services.port());
    plain.route("domain.test:80", domain.port());
    const std::string scheme = tls_to_the_proxy ? "https://" : "http://";
    settings = {
        {"DDS_BASE_URL", "https://dds.test"},
        {"DMS_BASE_URL", "https://dms.test/v1"},
        {"ALLOW_PLAIN_HTTP", "true"},
        {"EXTRA_CA_FILE", scene.folder.write("ca.pem", ca.certificate()).string()},
        {"HTTPS_PROXY",
         scheme + "op:" + kSecurePassword + "@127.0.0.1:" + std::to_string(secure.port())},
        {"HTTP_PROXY",
         "http://op:" + std::string(kPlainPassword) + "@127.0.0.1:" + std::to_string(plain.port())},
        {"NO_PROXY", "elsewhere.test, domain.test:81, 127.0.0.0/8"}};
    scene.domain_server_url = "http://domain.test";
  }

  [[nodiscard]] RelayListener::Serve to_market() const {
    return [port = market](RelayStreamPtr client) {
      return RelayListener::relay(std::move(client), port);
    };
  }
  void start() {
    scene.start(R"({"sleep_secs":0,"output_bytes":1000})", {POSENODE_BINARY, "run"}, settings);
  }
  bool says(const std::string& text) {
    return scene.turn([&] { return scene.node->look().err.find(text) != std::string::npos; }, 15s);
  }
  /// Ends it, and checks that no password is in what it printed.
  ChildResult end() {
    scene.node->signal(SIGTERM);
    scene.turn([] { return false; }, 300ms);
    const ChildResult result = scene.node->wait(20s);
    for (const char* secret : {kSecurePassword, "s3cure-paUword", kPlainPassword}) {
      CHECK(result.err.find(secret) == std::string::npos);
      CHECK(result.out.find(secret) == std::string::npos);
    }
    return result;
  }
};

}  // namespace

TEST_CASE("proxy_ca: a whole task by two authenticating proxies and a private authority",
          "[e2e][proxy_ca]") {
  const bool tls_to_the_proxy = GENERATE(false, true);
  World world(tls_to_the_proxy);
  world.start();
  const bool completed =
      world.scene.turn([&] { return world.scene.market.of("/complete").size() == 1; }, 20s);
  const ChildResult result = world.end();
  INFO(result.err);
  REQUIRE(completed);
  CHECK(result.code == 0);
  CHECK(world.scene.market.uploads().size() == 1);

  // Each of the market's calls came by a proxy: the names are no others' to resolve, and what
  // listens was reached as often as the proxies let somebody through.
  CHECK(world.secure.count("CONNECT", "dds.test:443") >= 1);
  CHECK(world.secure.count("CONNECT", "dms.test:443") >= 1);
  CHECK(world.secure.count("CONNECT", "") == world.secure.seen().size());
  CHECK(world.services.connections() == static_cast<int>(world.secure.seen().size()));
  CHECK(world.plain.count("POST", "http://domain.test/api/v1/domains/") == 1);
  CHECK(world.plain.count("CONNECT", "") == 0);
  CHECK(world.domain.connections() == static_cast<int>(world.plain.seen().size()));
  for (const ForwardProxy::Seen& seen : world.secure.seen()) {
    CHECK(seen.let_in);
    CHECK(seen.head.find("\r\nAuthorization:") == std::string::npos);  // a token
  }
  for (const FakeMarketplace::Call& call : world.scene.market.calls) {
    CHECK_FALSE(call.headers.find("proxy-authorization").has_value());
  }
}

TEST_CASE("proxy_ca: without EXTRA_CA_FILE nothing is said to a stranger", "[e2e][proxy_ca]") {
  World world(GENERATE(false, true));
  world.settings.erase("EXTRA_CA_FILE");
  world.start();
  CHECK(world.says("EXTRA_CA_FILE adds a private authority"));
  const ChildResult result = world.end();
  INFO(result.err);
  CHECK(result.code == 0);
  CHECK(world.scene.market.calls.empty());
}

TEST_CASE("proxy_ca: a wrong password is one clear line", "[e2e][proxy_ca]") {
  World world;
  world.settings["HTTPS_PROXY"] = "http://op:" + std::string(kPlainPassword) +
                                  "@127.0.0.1:" + std::to_string(world.secure.port());
  world.start();
  CHECK(world.says("wants another user or password (407); put them into HTTPS_PROXY"));
  const ChildResult result = world.end();
  INFO(result.err);
  CHECK(world.scene.market.calls.empty());
  CHECK(world.services.connections() == 0);
}

TEST_CASE("proxy_ca: a proxy that is away is one clear line", "[e2e][proxy_ca]") {
  World world;
  world.settings["HTTPS_PROXY"] = "http://op:" + std::string(kSecurePassword) + "@127.0.0.1:1";
  world.start();
  CHECK(
      world.says("there is no connection to the proxy 127.0.0.1:1; see that it runs and that "
                 "HTTPS_PROXY names it"));
  world.end();
  CHECK(world.scene.market.calls.empty());
}

TEST_CASE("proxy_ca: client commands go by the proxies too", "[e2e][proxy_ca]") {
  World world;
  std::map<std::string, std::string> settings = world.settings;
  settings["PATH"] = "/usr/bin:/bin";
  settings["APP_KEY"] = "key";
  settings["APP_SECRET"] = "secret";
  settings["DOMAIN_ID"] = "d1";
  Child client({POSENODE_BINARY, "data", "ls"}, settings);
  // What the services answer it is not the matter here: they know no apps.
  CHECK(world.scene.turn([&] { return world.services.connections() > 0; }, 10s));
  client.signal(SIGINT);
  CHECK(world.secure.count("CONNECT", "dds.test:443") >= 1);
  CHECK(world.secure.seen().front().let_in);
}
