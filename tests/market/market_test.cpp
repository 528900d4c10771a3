#include "base/encoding.hpp"
#include "base/file.hpp"
#include "base/json.hpp"
#include "base/result.hpp"
#include "base/secret.hpp"
#include "http/types.hpp"
#include "market/bootstrap.hpp"
#include "market/database.hpp"
#include "market/dms_node_handlers.hpp"
#include "market/settings.hpp"
#include "tests/market/market_fixture.hpp"

#include <chrono>
#include <string>
#include <vector>

#include <sys/stat.h>

namespace pn::market::testing {

using std::chrono::seconds;

TEST_CASE("market: what it knew it knows after a restart", "[market][mt]") {
  MarketFixture m;
  const std::string grant = m.grant();
  const Node node = m.node(1);
  const std::string job = m.submit(grant, m.job({"a", "b"}));
  const Json lease = m.claim(node).json;
  const auto port = std::to_string(m.market->port());
  m.settings.listen = "127.0.0.1:" + port;
  m.stop();
  m.start();
  // Tokens, leases and jobs go on: the signing key is the same.
  CHECK(m.beat(node, lease).status == 200);
  CHECK(m.complete(node, lease).status == 200);
  CHECK(m.task_status(grant, job) == "completed");
  CHECK(m.claim(node).status == 200);
}

TEST_CASE("market: after a restart nobody loses a lease for one of its lives", "[market][mt]") {
  MarketFixture m;
  const std::string grant = m.grant();
  const Node node = m.node(1);
  const std::string job = m.submit(grant, m.job());
  m.claim(node);
  m.settings.listen = "127.0.0.1:" + std::to_string(m.market->port());
  m.stop();
  m.loop.clock.advance(seconds(600));  // the lease expired while nobody could be heard
  m.start();
  m.loop.advance(seconds(29));
  m.get("/health", "");
  CHECK(m.task_status(grant, job) == "leased");
  m.loop.advance(seconds(2));
  m.until([&] { return m.task_status(grant, job) == "queued"; });
}

TEST_CASE("market: the first credentials are made up once and told once", "[market][mt]") {
  MarketFixture m;
  m.stop();
  m.settings.data_dir = m.folder.path / "other";
  m.settings.bootstrap = BootstrapSettings();
  m.start();
  const Bootstrapped first = m.market->bootstrapped();
  REQUIRE(first.registration_secret);
  REQUIRE(first.app_secret);
  REQUIRE(first.user_password);
  CHECK(first.made_up_registration_secret);
  CHECK(first.made_up_app_secret);
  CHECK(first.made_up_user_password);
  CHECK(first.changed.empty());
  m.stop();
  m.start();
  const Bootstrapped second = m.market->bootstrapped();
  CHECK_FALSE(second.registration_secret);
  CHECK_FALSE(second.app_secret);
  CHECK_FALSE(second.user_password);
  CHECK_FALSE(second.made_up_app_secret);
  CHECK(second.app_key == first.app_key);
  CHECK(second.domain == first.domain);
  CHECK(second.user_email == first.user_email);
  // The port, and with it the URL, is another.
  CHECK(second.changed.size() <= 1);
}

TEST_CASE("market: a later start with other values changes them and says so", "[market][mt]") {
  MarketFixture m;
  m.settings.listen = "127.0.0.1:" + std::to_string(m.market->port());
  m.stop();
  SECTION("the same values change nothing") {
    m.start();
    CHECK(m.market->bootstrapped().changed.empty());
  }
  SECTION("every other value") {
    const std::string old_app = "Basic " + to_base64("app:app-secret");
    BootstrapSettings& b = m.settings.bootstrap;
    b.registration_secret = Secret<std::string>("new-reg");
    b.app_key = "app2";
    b.app_secret = Secret<std::string>("new-secret");
    b.user_email = "d@e.f";
    b.user_password = Secret<std::string>("new password");
    b.domain = "yard";
    m.start();
    CHECK(m.market->bootstrapped().changed == std::vector<std::string>{"the registration secret",
                                                                       "the app key",
                                                                       "the user's email",
                                                                       "the user's password",
                                                                       "the domain's name"});
    CHECK(m.register_node(m.wallet(1), {"/noop/v1"}).status == 403);
    const auto exchange = [&](const std::string& pair) {
      return m.call(http::Method::post, "/service/domains-access-token", "Basic " + to_base64(pair))
          .status;
    };
    CHECK(exchange("app:app-secret") == 401);
    CHECK(exchange("app2:new-secret") == 200);
    const auto login = [&](const char* email, const char* password) {
      return m.post("/user/login", "", Json{{"email", email}, {"password", password}}).status;
    };
    CHECK(login("a@b.c", "password") == 401);
    CHECK(login("d@e.f", "new password") == 200);
  }
}

TEST_CASE("market: the environment file has what nodes and clients need", "[market]") {
  pn::testing::TempFolder folder;
  const auto file = folder.path / "market.env";
  Bootstrapped first;
  first.registration_secret = Secret<std::string>("reg");
  first.app_key = "app";
  first.app_secret = Secret<std::string>("secret");
  first.domain = DomainId("d1");
  REQUIRE(write_file(file, "# mine\nLOG_LEVEL=debug\nAPP_KEY=old\n", 0644).ok());
  REQUIRE(write_env(file, first, "http://h:1").ok());
  CHECK(*read_file(file, 10'000) ==
        "# mine\nLOG_LEVEL=debug\nAPP_KEY=app\nAPI_BASE_URL=http://h:1\nAPP_SECRET=secret\n"
        "DDS_BASE_URL=http://h:1\nDMS_BASE_URL=http://h:1/v1\nDOMAIN_ID=d1\nREG_SECRET=reg\n");
  struct stat status{};
  REQUIRE(::stat(file.c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);

  // A later start knows no secrets: they stay.
  first.registration_secret.reset();
  first.app_secret.reset();
  REQUIRE(write_env(file, first, "http://h:2").ok());
  const std::string text = *read_file(file, 10'000);
  CHECK_THAT(text,
             Catch::Contains("REG_SECRET=reg\n") && Catch::Contains("APP_SECRET=secret\n") &&
                 Catch::Contains("DMS_BASE_URL=http://h:2/v1\n"));
}

TEST_CASE("market: two cannot share a data folder or a port", "[market][mt]") {
  MarketFixture m;
  const auto open = [&](const MarketSettings& settings) {
    auto other = Market::open(m.loop.executor(), m.loop.clock, m.rng, log::Logger(), settings);
    REQUIRE_FALSE(other.ok());
    CHECK(other.error().kind == ErrorKind::rejected);
    return other.error().code;
  };
  MarketSettings same = m.settings;
  CHECK(open(same) == "data_in_use");
  MarketSettings port = m.settings;
  port.data_dir = m.folder.path / "second";
  port.listen = "127.0.0.1:" + std::to_string(m.market->port());
  CHECK(open(port) == "address_in_use");
  port.listen = "127.0.0.1:0";
  port.public_url = "not a url";
  CHECK(open(port) == "url_syntax");
}

TEST_CASE("market: cancellation closes all at once", "[market][mt]") {
  MarketFixture m;
  m.running->cancel();
  m.until([&] { return m.running->done(); });
  m.running.reset();
  m.market.reset();
}

TEST_CASE("market settings: every fault at once, no secret's value", "[market]") {
  const auto good = parse_market_settings({{"LEASE_TTL_SECS", "5"},
                                           {"MARKET_SYNCHRONOUS", "full"},
                                           {"MARKET_BOOTSTRAP_DOMAIN", "lab 1"},
                                           {"NODE_TOKEN_TTL_SECS", ""},
                                           {"HOME", "/root"}});
  CHECK(good.faults.empty());
  CHECK(good.settings.lease_ttl == seconds(5));
  CHECK(good.settings.node_token_ttl == seconds(3600));
  CHECK(good.settings.synchronous == Synchronous::full);
  CHECK(good.settings.bootstrap.domain == "lab 1");
  CHECK_FALSE(good.settings.bootstrap.app_key);

  const auto bad = parse_market_settings({{"LEASE_TTL_SECS", "0"},
                                          {"TASK_TOKEN_TTL_SECS", "1h"},
                                          {"MARKET_SYNCHRONOUS", "maybe"},
                                          {"MARKET_BOOTSTRAP_APP_KEY", "a:b"},
                                          {"MARKET_BOOTSTRAP_USER_EMAIL", "nobody"},
                                          {"MARKET_BOOTSTRAP_USER_PASSWORD", "hunter2"}});
  REQUIRE(bad.faults.size() == 6);
  for (const auto& fault : bad.faults) CHECK_THAT(fault, !Catch::Contains("hunter2"));
  CHECK_THAT(bad.faults.front(), Catch::Contains("LEASE_TTL_SECS") && Catch::Contains("'0'"));
}

TEST_CASE("market: Prefer: wait", "[market]") {
  const auto wait = [](std::string_view text) {
    http::Headers headers;
    headers.set("Prefer", text);
    return preferred_wait(headers);
  };
  CHECK_FALSE(preferred_wait(http::Headers()));
  CHECK(wait("wait=5") == seconds(5));
  CHECK(wait("respond-async, wait = 7") == seconds(7));
  CHECK(wait("wait=600") == seconds(60));
  CHECK_FALSE(wait("wait=x"));
  CHECK_FALSE(wait("wait=-1"));
  CHECK_FALSE(wait("waiting=5"));
}

}  // namespace pn::market::testing
