#pragma once

#include "auth/siwe.hpp"
#include "auth/wallet.hpp"
#include "base/encoding.hpp"
#include "base/json.hpp"
#include "base/log.hpp"
#include "http/client.hpp"
#include "market/market.hpp"
#include "tests/support/fake_rng.hpp"
#include "tests/support/temp_folder.hpp"
#include "tests/support/test_loop.hpp"

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <unistd.h>

namespace pn::market::testing {

using pn::testing::FakeRng;
using pn::testing::Started;
using pn::testing::TestLoop;

struct Answer {
  int status = 0;
  Json json;
  http::Headers headers;
};

/// One compute node as the market sees it.
struct Node {
  auth::Wallet wallet;
  std::string token;
};

/// A market on a real port with virtual time, and the verbs of its peers.
class MarketFixture {
 public:
  static constexpr const char* kSecret = "reg-secret";

  MarketFixture() {
    settings.listen = "127.0.0.1:0";
    settings.data_dir = folder.path / "data";
    settings.bootstrap.registration_secret = Secret<std::string>(kSecret);
    settings.bootstrap.app_key = "app";
    settings.bootstrap.app_secret = Secret<std::string>("app-secret");
    settings.bootstrap.user_email = "a@b.c";
    settings.bootstrap.user_password = Secret<std::string>("password");
    settings.bootstrap.domain = "lab";
    client = std::move(*http::make_http_client(loop.executor(), http::ClientOptions()));
    start();
  }
  ~MarketFixture() { stop(); }

  void start() {
    auto opened = Market::open(loop.executor(), loop.clock, rng, logger, settings);
    if (!opened.ok()) FAIL(to_string(opened.error()));
    market = std::move(*opened);
    running = std::make_unique<Started>(loop, market->run());
    loop.poll();
  }

  void stop() {
    if (!market) return;
    market->request_stop();
    until([&] { return running->done(); });
    running->rethrow();
    running.reset();
    market.reset();
  }

  /// A life of the market whose errors go to `lines`.
  void log_errors_to(std::vector<std::string>& lines) {
    stop();
    logger = log::Logger({log::Level::error, log::Format::json},
                         [&lines](log::Level, std::string_view line) { lines.emplace_back(line); });
    start();
  }

  /// Runs the loop until `done`; fails after ten seconds of real time.
  void until(const std::function<bool()>& done) {
    if (!loop.run_until(done)) FAIL("it did not come to pass in time");
  }

  Awaitable<Answer> send(http::Method method,
                         std::string path,
                         std::string authorization,
                         std::string body,
                         http::Headers headers) {
    auto url = http::Url::parse(market->public_url() + path);
    REQUIRE(url.ok());
    http::Request request(method, std::move(*url));
    request.headers = std::move(headers);
    if (!authorization.empty()) request.headers.set("Authorization", authorization);
    if (!body.empty()) request.headers.set("Content-Type", "application/json");
    request.body = std::move(body);
    auto response = co_await client->send(std::move(request));
    if (!response.ok()) FAIL(to_string(response.error()));
    Answer answer;
    answer.status = response->status;
    answer.headers = response->headers;
    if (!response->body.empty()) answer.json = Json::parse(response->body, nullptr, false);
    co_return answer;
  }

  Answer call(http::Method method,
              const std::string& path,
              const std::string& authorization,
              const Json& body = Json(),
              const http::Headers& headers = {}) {
    const std::string text = body.is_null() ? "" : body.dump();
    return loop.run(send(method, path, authorization, text, headers));
  }
  Answer get(const std::string& path, const std::string& token) {
    return call(http::Method::get, path, "Bearer " + token);
  }
  Answer post(const std::string& path, const std::string& token, const Json& body) {
    return call(http::Method::post, path, token.empty() ? "" : "Bearer " + token, body);
  }

  // A node.

  /// {"message", "signature"} for a nonce asked for now.
  Json signed_message(const auth::Wallet& wallet) {
    const Answer nonce =
        post("/internal/v1/auth/siwe/request", "", Json{{"wallet", wallet.address().str()}});
    REQUIRE(nonce.status == 200);
    return signed_message(wallet, nonce.json);
  }
  static Json signed_message(const auth::Wallet& wallet, const Json& nonce) {
    auth::SiweChallenge challenge;
    challenge.nonce = nonce.at("nonce");
    challenge.domain = nonce.at("domain");
    challenge.uri = nonce.at("uri");
    challenge.version = nonce.at("version");
    REQUIRE(nonce.at("chainId").is_number_integer());
    challenge.chain_id = nonce.at("chainId");
    challenge.issued_at = nonce.at("issuedAt");
    const std::string message = auth::siwe_message(challenge, wallet.address());
    return Json{{"message", message}, {"signature", wallet.sign_personal(message)}};
  }

  static auth::Wallet wallet(int number) {
    std::string hex(64, '0');
    hex.back() = static_cast<char>('0' + number);
    auto made = auth::Wallet::from_hex(Secret<std::string>(hex));
    REQUIRE(made.ok());
    return std::move(*made);
  }

  Answer register_node(const auth::Wallet& wallet,
                       const std::vector<std::string>& capabilities,
                       const Json& attributes = Json::object()) {
    Json body = signed_message(wallet);
    body["registration_credentials"] = kSecret;
    body["capabilities"] = capabilities;
    body["version"] = "1.2.3";
    body["attributes"] = attributes;
    return post("/internal/v1/nodes/register-wallet", "", body);
  }

  Answer sign_in(const auth::Wallet& wallet) {
    Json body = signed_message(wallet);
    body["address"] = wallet.address().str();
    return post("/internal/v1/auth/siwe/verify", "", body);
  }

  Node node(int number,
            const std::vector<std::string>& capabilities = {"/noop/v1"},
            const Json& attributes = Json::object()) {
    Node out{wallet(number), ""};
    REQUIRE(register_node(out.wallet, capabilities, attributes).status == 200);
    const Answer answer = sign_in(out.wallet);
    REQUIRE(answer.status == 200);
    out.token = answer.json.at("access_token");
    return out;
  }

  Answer claim(const Node& node) { return get("/v1/tasks", node.token); }
  /// `verb` on a leased task, with its lease id.
  Answer report(const Node& node, const Json& lease, const std::string& verb, Json body) {
    body["lease_id"] = lease.at("lease_id");
    return post(
        "/v1/tasks/" + lease.at("task").at("id").get<std::string>() + "/" + verb, node.token, body);
  }
  Answer beat(const Node& node, const Json& lease) {
    return report(node, lease, "heartbeat", Json{{"progress", {{"done", 1}}}, {"events", {"e"}}});
  }
  Answer complete(const Node& node, const Json& lease) {
    return report(node, lease, "complete", Json{{"output_cids", {"o1"}}, {"meta", Json::object()}});
  }
  Answer fail(const Node& node, const Json& lease, bool retryable = true) {
    Json details{{"artifacts", Json::array()}};
    if (!retryable) details["retryable"] = false;
    return report(node, lease, "fail", Json{{"reason", "it broke"}, {"details", details}});
  }

  // A client.

  /// A domain grant of the first domain.
  std::string grant() {
    const Answer app = call(http::Method::post,
                            "/service/domains-access-token",
                            "Basic " + to_base64("app:app-secret"));
    REQUIRE(app.status == 200);
    const Answer domain = post("/api/v1/domains/" + market->bootstrapped().domain.str() + "/auth",
                               app.json.at("access_token"),
                               Json::object());
    REQUIRE(domain.status == 200);
    return domain.json.at("access_token");
  }

  Json job(const std::vector<std::string>& stages = {"a"}, const Json& edges = Json::array()) {
    Json tasks = Json::array();
    for (const auto& stage : stages) {
      tasks.push_back({{"label", stage + "-label"}, {"stage", stage}, {"capability", "/noop/v1"}});
    }
    return Json{{"label", "job"},
                {"domain_id", market->bootstrapped().domain.str()},
                {"tasks", tasks},
                {"edges", edges}};
  }

  std::string submit(const std::string& token, const Json& spec) {
    const Answer answer = post("/v1/jobs", token, spec);
    REQUIRE(answer.status == 200);
    return answer.json.at("job_id");
  }
  Json show(const std::string& token, const std::string& id) {
    const Answer answer = get("/v1/jobs/" + id, token);
    REQUIRE(answer.status == 200);
    return answer.json;
  }
  std::string job_status(const std::string& token, const std::string& id) {
    return show(token, id).at("job").at("status");
  }
  std::string task_status(const std::string& token, const std::string& id, std::size_t task = 0) {
    return show(token, id).at("tasks").at(task).at("status");
  }

  pn::testing::TempFolder folder;
  TestLoop loop;
  FakeRng rng;
  MarketSettings settings;
  log::Logger logger;
  std::unique_ptr<http::HttpClient> client;
  std::unique_ptr<Market> market;
  std::unique_ptr<Started> running;
};

inline std::string code_of(const Answer& answer) {
  if (!answer.json.is_object() || !answer.json.contains("error")) return "";
  return answer.json.at("error").at("code");
}

}  // namespace pn::market::testing
