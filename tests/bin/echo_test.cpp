#include "base/awaitable.hpp"
#include "base/file.hpp"
#include "base/json.hpp"
#include "base/result.hpp"
#include "http/client.hpp"
#include "http/url.hpp"
#include "tests/support/child.hpp"
#include "tests/support/fake_marketplace.hpp"
#include "tests/support/node_process.hpp"
#include "tests/support/secret_forms.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <signal.h>

// A marketplace that quotes what it was sent, secrets and all, in its errors: where that comes out
// of the real binary again.

using namespace pn;           // NOLINT(google-build-using-namespace)
using namespace pn::testing;  // NOLINT(google-build-using-namespace)
using namespace std::chrono_literals;

namespace {

const char* const kKey = "4c0883a69102937d6231471b5dbb6204fe5129617082798ce3f4fdf2548b6f90";
const char* const kRegSecret = "reg-s3cret \"value\" of 2026";

struct Echoing : NodeProcess {
  using Answer = FakeMarketplace::Answer;
  using Call = FakeMarketplace::Call;

  explicit Echoing(std::uint32_t seed) : NodeProcess(POSENODE_BINARY), forms(seed) {
    settings["REG_SECRET"] = kRegSecret;
    settings["SECP256K1_PRIVHEX"] = kKey;
    settings["LOG_LEVEL"] = "debug";
    settings["BREAKER_FAILURES"] = "0";
    market.on_upload = [this](const Call& call) { return echo(call, 400); };
    market.on_receipt = [this](const Call& call) { return echo(call, 400); };
  }

  std::optional<Answer> echo(const Call& call, int status) {
    const std::vector<std::string> secrets{call.bearer, kRegSecret, kKey};
    std::string form = forms.encoded(secrets[forms.below(secrets.size())]);
    const std::string message = forms.noise() + form + forms.noise();
    said.push_back(std::move(form));
    if (forms.below(2) == 0) return Answer{.status = status, .body = message};
    const Json body{{"error", {{"code", "x"}, {"message", message}}}};
    return Answer{.status = status, .body = dump_json(body)};
  }

  std::string get(const std::string& url) {
    std::string out;
    bool done = false;
    const auto client = *http::make_http_client(loop.get_executor(), http::ClientOptions());
    const auto asking = [&]() -> Awaitable<void> {
      http::Request request(http::Url::parse(url).value());
      const Result<http::Response> answer = co_await client->send(std::move(request));
      if (answer) out = answer->body;
      done = true;
    };
    asio::co_spawn(loop, asking(), asio::detached);
    turn([&] { return done; });
    return out;
  }

  SecretForms forms;
  std::vector<std::string> said;  ///< forms of secrets
};

}  // namespace

TEST_CASE("secrets: what a server echoes leaves the node nowhere", "[bin][secrets]") {
  const auto seed = static_cast<std::uint32_t>(std::random_device()());
  CAPTURE(seed);
  Echoing node(seed);
  constexpr std::size_t kTasks = 40;
  for (std::size_t i = 0; i < kTasks; ++i) {
    node.market.offer("t" + std::to_string(i),
                      Json{{"domain_server_url", node.market.url()}},
                      Json{{"meta", {{"sleep_secs", 0}, {"output_bytes", 10}}}});
  }
  node.start();
  REQUIRE(node.turn([&] { return node.market.of("/fail").size() >= kTasks; }, 30s));
  node.market.on_claim = [&](const Echoing::Call& call) { return node.echo(call, 500); };
  const std::size_t polls = node.polls();
  REQUIRE(node.turn([&] { return node.polls() > polls + 2; }));

  const ChildResult status = node.command({"status", "--json"});
  REQUIRE(status.code == 0);
  REQUIRE(nlohmann::json::accept(status.out));
  const Json shown = Json::parse(status.out);
  const std::string url = shown.at("status_url");
  std::vector<std::pair<std::string, std::string>> seen{
      {"posenode status", node.command({"status"}).out},
      {"control socket", status.out},
      {"status.json", node.get(url + "status.json")},
      {"readyz", node.get(url + "readyz")},
      {"metrics", node.get(url + "metrics")}};
  for (const auto& call : node.market.of("/fail")) seen.emplace_back("receipt", call.body);
  for (const auto& call : node.market.of("/heartbeat")) seen.emplace_back("heartbeat", call.body);
  node.child->signal(SIGTERM);
  const ChildResult ended = node.end();
  seen.emplace_back("log", ended.err + ended.out);
  for (const auto& entry : std::filesystem::directory_iterator(node.settings.at("STATE_DIR"))) {
    if (!entry.is_regular_file()) continue;
    const Result<std::string> bytes = read_file(entry.path(), 100'000'000);
    if (bytes) seen.emplace_back(entry.path().filename().string(), *bytes);
  }

  // It is all there, and none of it is whole.
  CHECK(shown.at("outbox").at("set_aside") == kTasks);
  CHECK(shown.at("reasons").dump().find("the server answered 500") != std::string::npos);
  CHECK(shown.dump().find("[redacted]") != std::string::npos);
  CHECK(node.market.of("/fail").at(0).body.find("the server answered 400") != std::string::npos);
  CHECK(node.said.size() > 2 * kTasks);
  for (const auto& [where, text] : seen) {
    for (const std::string& form : node.said) {
      INFO(where << ": " << form);
      REQUIRE_FALSE(node.forms.leaks(form, text));
    }
  }
}
