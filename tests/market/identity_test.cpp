#include "auth/siwe.hpp"
#include "auth/wallet.hpp"
#include "base/encoding.hpp"
#include "base/ids.hpp"
#include "base/json.hpp"
#include "base/secret.hpp"
#include "base/time.hpp"
#include "http/server.hpp"
#include "http/types.hpp"
#include "market/dds_handlers.hpp"
#include "tests/http/raw_client.hpp"
#include "tests/market/market_fixture.hpp"
#include "tests/market/market_parts.hpp"

#include <cctype>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace pn::market::testing {

using std::chrono::minutes;
using std::chrono::seconds;

TEST_CASE("identity: a wallet registers, signs in, and may do so again at any time",
          "[market][identity][mt]") {
  MarketFixture m;
  const auth::Wallet wallet = m.wallet(1);
  const Answer first = m.register_node(wallet, {"/noop/v1"});
  REQUIRE(first.status == 200);
  const Answer token = m.sign_in(wallet);
  REQUIRE(token.status == 200);
  CHECK_FALSE(token.json.at("access_token").get<std::string>().empty());
  const auto expires = parse_rfc3339(token.json.at("access_expires_at").get<std::string>());
  REQUIRE(expires.ok());
  CHECK(*expires == m.loop.clock.system_now() + seconds(3600));

  const Answer again = m.register_node(wallet, {"/other/v1"});
  REQUIRE(again.status == 200);
  CHECK(again.json.at("id") == first.json.at("id"));
  CHECK(m.sign_in(wallet).status == 200);
}

TEST_CASE("identity: only what changes a known node has claims look at it anew",
          "[market][identity][mt]") {
  MarketParts parts;
  DdsHandlers dds(parts.context);
  std::vector<NodeId> changed;
  dds.node_changed = [&](const NodeId& node) { changed.push_back(node); };
  http::Router router;
  dds.add_routes(router);
  const pn::testing::Served served(parts.loop, std::move(router));
  const auto post = [&](const std::string& path, const Json& body) {
    const std::string text = body.dump();
    pn::testing::RawClient client(parts.loop, served.port());
    const auto answer =
        client.ask("POST /internal/v1/" + path + " HTTP/1.1\r\nHost: h\r\nContent-Length: " +
                   std::to_string(text.size()) + "\r\n\r\n" + text);
    INFO(answer.body);
    REQUIRE(answer.status == 200);
    return Json::parse(answer.body);
  };
  const auth::Wallet wallet = MarketFixture::wallet(1);
  const auto register_with = [&](const std::vector<std::string>& capabilities,
                                 const Json& attributes) {
    const Json nonce = post("auth/siwe/request", Json{{"wallet", wallet.address().str()}});
    Json body = MarketFixture::signed_message(wallet, nonce);
    body["registration_credentials"] = parts.first.registration_secret->reveal();
    body["capabilities"] = capabilities;
    body["attributes"] = attributes;
    body["version"] = "1.2.3";
    return NodeId(post("nodes/register-wallet", body).at("id").get<std::string>());
  };
  const Json plain = Json::object();
  const Json arm{{"hardware", "arm64"}};
  const NodeId node = register_with({"/noop/v1"}, plain);
  CHECK(changed.empty());  // nobody waits in its name
  register_with({"/noop/v1"}, plain);
  CHECK(changed.empty());
  register_with({"/noop/v1", "/other/v1"}, plain);
  CHECK(changed == std::vector<NodeId>{node});
  register_with({"/noop/v1", "/other/v1"}, arm);
  CHECK(changed == std::vector<NodeId>{node, node});
}

TEST_CASE("identity: a wallet that is not registered is told so by 403", "[market][identity][mt]") {
  MarketFixture m;
  const Answer answer = m.sign_in(m.wallet(1));
  CHECK(answer.status == 403);
  CHECK(code_of(answer) == "node_unknown");
}

TEST_CASE("identity: what registration refuses", "[market][identity][mt]") {
  MarketFixture m;
  const auth::Wallet wallet = m.wallet(1);
  const auto with = [&](const char* key, const Json& value) {
    Json body = m.signed_message(wallet);
    body["registration_credentials"] = MarketFixture::kSecret;
    body["capabilities"] = {"/noop/v1"};
    body["version"] = "1.2.3";
    body[key] = value;
    return m.post("/internal/v1/nodes/register-wallet", "", body).status;
  };
  CHECK(with("registration_credentials", "wrong") == 403);
  CHECK(with("version", "v1.2.3") == 400);
  CHECK(with("version", "1.2") == 400);
  CHECK(with("capabilities", Json::array()) == 400);
  CHECK(with("capabilities", Json::array({"noop"})) == 400);
  CHECK(with("signature", "0x00") == 401);
  CHECK(with("message", "hello") == 401);
  CHECK(with("version", "1.2.3-rc.1+build") == 200);
}

TEST_CASE("identity: a nonce serves once, for five minutes, for its own wallet",
          "[market][identity][mt]") {
  MarketFixture m;
  const auth::Wallet wallet = m.wallet(1);
  const auth::Wallet other = m.wallet(2);
  REQUIRE(m.register_node(wallet, {"/noop/v1"}).status == 200);
  REQUIRE(m.register_node(other, {"/noop/v1"}).status == 200);
  const auto verify = [&](Json body, const auth::Wallet& as) {
    body["address"] = as.address().str();
    return m.post("/internal/v1/auth/siwe/verify", "", body).status;
  };
  const Json once = m.signed_message(wallet);
  CHECK(verify(once, other) == 401);
  CHECK(verify(once, wallet) == 200);
  CHECK(verify(once, wallet) == 401);

  const Json late = m.signed_message(wallet);
  m.loop.clock.advance(minutes(5));
  CHECK(verify(late, wallet) == 401);

  // Another wallet signs a message with a nonce that was not asked for by it.
  const auto challenge =
      auth::parse_siwe_message(m.signed_message(wallet).at("message").get<std::string>());
  REQUIRE(challenge.ok());
  const std::string stolen = auth::siwe_message(challenge->challenge, other.address());
  CHECK(verify(Json{{"message", stolen}, {"signature", other.sign_personal(stolen)}}, other) ==
        401);
}

TEST_CASE("identity: a message for another service is refused", "[market][identity][mt]") {
  MarketFixture m;
  const auth::Wallet wallet = m.wallet(1);
  REQUIRE(m.register_node(wallet, {"/noop/v1"}).status == 200);
  const auto said =
      auth::parse_siwe_message(m.signed_message(wallet).at("message").get<std::string>());
  REQUIRE(said.ok());
  const auto with = [&](const std::function<void(auth::SiweChallenge&)>& change) {
    auth::SiweChallenge changed = said->challenge;
    change(changed);
    const std::string message = auth::siwe_message(changed, wallet.address());
    return m
        .post("/internal/v1/auth/siwe/verify",
              "",
              Json{{"address", wallet.address().str()},
                   {"message", message},
                   {"signature", wallet.sign_personal(message)}})
        .status;
  };
  CHECK(with([](auto& c) { c.domain = "evil.test"; }) == 401);
  CHECK(with([](auto& c) { c.uri = "http://evil.test"; }) == 401);
  CHECK(with([](auto& c) { c.chain_id = 1; }) == 401);
  CHECK(with([](auto& c) { c.nonce = "0123456789abcdef"; }) == 401);
  CHECK(with([](auto& c) { c.issued_at = "2020-01-01T00:00:00Z"; }) == 401);
  CHECK(with([](auto&) {}) == 200);
}

TEST_CASE("accounts: a user logs in and refreshes", "[market][identity][mt]") {
  MarketFixture m;
  const auto login = [&](const char* email, const char* password) {
    return m.post("/user/login", "", Json{{"email", email}, {"password", password}});
  };
  CHECK(login("a@b.c", "wrong password").status == 401);
  CHECK(login("x@b.c", "password").status == 401);
  const Answer tokens = login("a@b.c", "password");
  REQUIRE(tokens.status == 200);
  const Answer fresh = m.post("/user/refresh", tokens.json.at("refresh_token"), Json::object());
  REQUIRE(fresh.status == 200);
  CHECK(m.post("/user/refresh", tokens.json.at("access_token"), Json::object()).status == 401);
  const Answer exchanged =
      m.post("/service/domains-access-token", fresh.json.at("access_token"), Json::object());
  REQUIRE(exchanged.status == 200);
  CHECK(m.get("/api/v1/domains", exchanged.json.at("access_token")).status == 200);
}

TEST_CASE("accounts: an app's wrong secret is refused", "[market][identity][mt]") {
  MarketFixture m;
  const auto exchange = [&](const std::string& pair) {
    return m.call(http::Method::post, "/service/domains-access-token", "Basic " + to_base64(pair))
        .status;
  };
  CHECK(exchange("app:app-secret") == 200);
  CHECK(exchange("app:wrong") == 401);
  CHECK(exchange("nobody:app-secret") == 401);
  CHECK(exchange("app") == 401);
  CHECK(m.call(http::Method::post, "/service/domains-access-token", "Basic ###").status == 401);
  CHECK(m.call(http::Method::post, "/service/domains-access-token", "").status == 401);
}

TEST_CASE("accounts: a token cannot be exchanged for a life that it has not",
          "[market][identity][mt]") {
  MarketFixture m;
  const auto exchange = [&](const std::string& token) {
    return m.post("/service/domains-access-token", token, Json::object());
  };
  std::string token = m.call(http::Method::post,
                             "/service/domains-access-token",
                             "Basic " + to_base64("app:app-secret"))
                          .json.at("access_token");
  for (int i = 0; i < 3; ++i) {
    m.loop.clock.advance(minutes(19));
    const Answer next = exchange(token);
    REQUIRE(next.status == 200);
    token = next.json.at("access_token");
  }
  CHECK(m.get("/api/v1/domains", token).status == 200);
  m.loop.clock.advance(minutes(3));
  CHECK(m.get("/api/v1/domains", token).status == 401);
  CHECK(exchange(token).status == 401);
}

TEST_CASE("accounts: a new password ends what the old one may refresh", "[market][identity][mt]") {
  MarketFixture m;
  const Answer tokens = m.post("/user/login", "", {{"email", "a@b.c"}, {"password", "password"}});
  const std::string refresh = tokens.json.at("refresh_token");
  const Answer again = m.post("/user/refresh", refresh, Json::object());
  REQUIRE(again.status == 200);
  m.stop();
  m.settings.bootstrap.user_password = Secret<std::string>("another");
  m.start();
  CHECK(m.post("/user/refresh", refresh, Json::object()).status == 401);
  CHECK(m.post("/user/refresh", again.json.at("refresh_token"), Json::object()).status == 401);
}

TEST_CASE("accounts: many who sign in at once wait in a short queue, and nobody else does",
          "[market][identity][mt]") {
  MarketFixture m;
  const std::string body = R"({"email":"a@b.c","password":"wrong"})";
  const std::string request =
      "POST /user/login HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(body.size()) +
      "\r\n\r\n" + body;
  std::vector<std::unique_ptr<pn::testing::RawClient>> clients;
  for (int i = 0; i < 60; ++i) {
    clients.push_back(std::make_unique<pn::testing::RawClient>(m.loop, m.market->port()));
    clients.back()->send(request);
  }
  int tried = 0;
  int refused = 0;
  for (const auto& client : clients) {
    const auto answer = client->answer();
    if (answer.status == 401) ++tried;
    if (answer.status != 429) continue;
    ++refused;
    CHECK(answer.field("Retry-After") == "1");
  }
  CHECK(tried + refused == 60);
  CHECK(tried >= 9);
  CHECK(refused > 0);
  CHECK(m.post("/user/login", "", {{"email", "a@b.c"}, {"password", "password"}}).status == 200);
}

TEST_CASE("domains: one with work or data is not deleted", "[market][identity][mt]") {
  MarketFixture m;
  const std::string token = m.call(http::Method::post,
                                   "/service/domains-access-token",
                                   "Basic " + to_base64("app:app-secret"))
                                .json.at("access_token");
  const std::string grant = m.grant();
  const Node node = m.node(1);
  const std::string domain = "/api/v1/domains/" + m.market->bootstrapped().domain.str();
  const auto remove = [&] { return m.call(http::Method::del, domain, "Bearer " + token); };
  m.submit(grant, m.job());
  CHECK(remove().status == 409);
  const Json lease = m.claim(node).json;
  CHECK(code_of(remove()) == "conflict");
  CHECK(m.complete(node, lease).status == 200);
  CHECK(remove().status == 204);
  // The grant outlives the domain.
  const Answer begun =
      m.post(domain + "/data/multipart?uploads", grant, {{"name", "n"}, {"data_type", "t"}});
  CHECK(begun.status == 404);
  CHECK(code_of(begun) == "domain_missing");
}

TEST_CASE("domains: create, list, open, delete", "[market][identity][mt]") {
  MarketFixture m;
  const std::string token = m.call(http::Method::post,
                                   "/service/domains-access-token",
                                   "Basic " + to_base64("app:app-secret"))
                                .json.at("access_token");
  const Answer made = m.post("/api/v1/domains?issue_token=true", token, Json{{"name", "hall"}});
  REQUIRE(made.status == 201);
  CHECK(made.json.at("name") == "hall");
  CHECK(made.json.at("domain_server").at("url") == m.market->public_url());
  CHECK(made.json.contains("access_token"));
  const std::string id = made.json.at("id");

  const Answer all = m.get("/api/v1/domains?org=own&with=domain_server", token);
  REQUIRE(all.status == 200);
  CHECK(all.json.at("domains").size() == 2);
  const Answer second = m.get("/api/v1/domains?limit=1&offset=1", token);
  CHECK(second.json.at("domains").at(0).at("id") == id);
  CHECK(m.get("/api/v1/domains?limit=101", token).status == 400);
  CHECK(m.get("/api/v1/domains?org=somebody", token).json.at("domains").empty());

  CHECK(m.post("/api/v1/domains/" + id + "/auth", token, Json::object()).status == 200);
  CHECK(m.post("/api/v1/domains/nowhere/auth", token, Json::object()).status == 404);
  CHECK(m.post("/api/v1/domains/" + id + "/auth", "nonsense", Json::object()).status == 401);
  // A grant opens data, not DDS.
  CHECK(m.get("/api/v1/domains", made.json.at("access_token")).status == 401);

  CHECK(m.call(http::Method::del, "/api/v1/domains/" + id, "Bearer " + token).status == 204);
  CHECK(m.post("/api/v1/domains/" + id + "/auth", token, Json::object()).status == 404);
  CHECK(m.post("/api/v1/domains", token, Json::object()).status == 400);
  CHECK(m.post("/api/v1/domains", token, Json{{"name", "x"}, {"domain_server_id", "y"}}).status ==
        400);
}

TEST_CASE("dds: keys, health, nodes, and what is left out", "[market][identity][mt]") {
  MarketFixture m;
  CHECK(m.get("/health", "").status == 200);
  const Answer key = m.get("/service/public-key", "");
  CHECK(key.json.at("crv") == "P-256");
  CHECK(m.get("/service/public-key.pem", "").status == 200);
  const Node node = m.node(1);
  CHECK(m.get("/api/v1/nodes", node.token).status == 401);
  const std::string token = m.call(http::Method::post,
                                   "/service/domains-access-token",
                                   "Basic " + to_base64("app:app-secret"))
                                .json.at("access_token");
  const Answer nodes = m.get("/api/v1/nodes", token);
  REQUIRE(nodes.status == 200);
  CHECK(nodes.json.at("nodes").at(0).at("wallet") == node.wallet.address().str());
  CHECK(m.get("/api/v1/domains/x/lighthouses", token).status == 501);
  CHECK(m.get("/nowhere", token).status == 404);
}

}  // namespace pn::market::testing
