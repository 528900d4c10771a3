#include "base/json.hpp"
#include "http/url.hpp"
#include "tests/support/child.hpp"
#include "tests/support/fault_proxy.hpp"
#include "tests/support/market_process.hpp"
#include "tests/support/temp_folder.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <signal.h>

// Three real processes: a marketplace, a node that is cut off from it in the middle of an upload,
// and one that is not.

using namespace pn;           // NOLINT(google-build-using-namespace)
using namespace pn::testing;  // NOLINT(google-build-using-namespace)
using namespace std::chrono_literals;

namespace {

constexpr auto kTtl = 2s;

bool eventually(const std::function<bool()>& done, std::chrono::milliseconds limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!done()) {
    if (std::chrono::steady_clock::now() >= end) return false;
    std::this_thread::sleep_for(10ms);
  }
  return true;
}

/// The way of one node to the marketplace, on a thread of its own.
class Way {
 public:
  explicit Way(const std::string& market)
      : market_(market), proxy_(context_, http::Url::parse(market).value().port(), script()) {
    proxy_.on_pass([this](std::string_view method, std::string_view path, std::size_t) {
      const std::lock_guard lock(mutex_);
      passed_.push_back(std::string(method) + " " + std::string(path));
    });
    // A lease names the domain server: to this node it is here too.
    proxy_.on_answer([this](std::string_view path, std::string& body) {
      if (path.starts_with("/v1/tasks")) replace(body, market_, url_);
    });
    url_ = proxy_.url();
    thread_ = std::thread([this] { context_.run(); });
  }
  ~Way() {
    context_.stop();
    thread_.join();
  }
  Way(const Way&) = delete;
  Way& operator=(const Way&) = delete;

  [[nodiscard]] const std::string& url() const { return url_; }
  /// Since the node came with its artifact.
  [[nodiscard]] bool apart() const { return apart_; }
  void heal() {
    {
      const std::lock_guard lock(mutex_);
      passed_.clear();
    }
    asio::post(context_, [this] { proxy_.cut(false); });
  }
  /// What passed since heal().
  [[nodiscard]] std::vector<std::string> passed() {
    const std::lock_guard lock(mutex_);
    return passed_;
  }

 private:
  FaultProxy::Script script() {
    return [this](std::string_view method, std::string_view path) {
      const bool sends = path.find("/data") != std::string_view::npos && method != "GET";
      if (sends && !apart_.exchange(true)) proxy_.cut(true);
      return Fault::none;
    };
  }
  static void replace(std::string& text, const std::string& from, const std::string& to) {
    for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at)) {
      text.replace(at, from.size(), to);
    }
  }

  const std::string market_;
  std::string url_;
  std::atomic<bool> apart_{false};
  std::mutex mutex_;
  std::vector<std::string> passed_;
  asio::io_context context_{1};
  FaultProxy proxy_;
  std::thread thread_;
};

struct Network {
  TempFolder folder;
  MarketProcess market{POSENODE_BINARY,
                       folder,
                       {{"LEASE_TTL_SECS", std::to_string(std::chrono::seconds(kTtl).count())}}};

  /// Of the file that the market wrote.
  std::string setting(const std::string& name) {
    std::ifstream file(market.env);
    for (std::string line; std::getline(file, line);) {
      if (line.starts_with(name + "=")) return line.substr(name.size() + 1);
    }
    return "";
  }
  std::unique_ptr<Child> node(const std::string& name,
                              const char* key,
                              const std::map<std::string, std::string>& more = {}) {
    std::map<std::string, std::string> settings{{"PATH", "/usr/bin:/bin"},
                                                {"SECP256K1_PRIVHEX", std::string(63, '0') + key},
                                                {"STATUS_ADDR", "127.0.0.1:0"},
                                                {"STATE_DIR", folder.file(name)},
                                                {"ENABLE_NOOP", "true"},
                                                {"SFM_COLMAP", "/nonexistent/colmap"},
                                                {"REQUEST_TIMEOUT_SECS", "1"},
                                                {"LONG_POLL_SECS", "0"},
                                                {"POLL_BACKOFF_MS_MIN", "50"},
                                                {"POLL_BACKOFF_MS_MAX", "200"},
                                                {"DISK_MIN_FREE_MB", "0"},
                                                {"DISK_MAX_USED_PCT", "100"},
                                                {"INODE_MAX_USED_PCT", "100"},
                                                {"LOG_LEVEL", "debug"},
                                                {"LOG_FORMAT", "text"}};
    for (const auto& [key_of, value] : more) settings[key_of] = value;
    return std::make_unique<Child>(
        std::vector<std::string>{POSENODE_BINARY, "run", "--env-file", market.env}, settings);
  }
  Json client(std::vector<std::string> words) {
    words.insert(words.begin(), POSENODE_BINARY);
    words.insert(words.end(), {"--env-file", market.env, "--json"});
    Child child(words, {{"PATH", "/usr/bin:/bin"}});
    const ChildResult result = child.wait(10s);
    INFO(result.err);
    REQUIRE(result.code == 0);
    return *parse_json(result.out);
  }
};

bool said(Child& child, const std::string& event) {
  return child.look().err.find(event) != std::string::npos;
}

}  // namespace

TEST_CASE("lease_fence: cut off for two leases, another node wins and nothing of the first arrives",
          "[e2e][lease_fence]") {
  Network network;
  const std::string market = network.setting("DDS_BASE_URL");
  Way way(market);
  REQUIRE(way.url().size() == market.size());  // so that one stands for the other
  const Json submitted = network.client({"job",
                                         "submit",
                                         "--capability",
                                         "/noop/v1",
                                         "--meta",
                                         R"({"sleep_secs":0.1,"output_bytes":3000000})"});
  const std::string job = submitted.at("job_id");
  const auto first = network.node(
      "first", "1", {{"DDS_BASE_URL", way.url()}, {"DMS_BASE_URL", way.url() + "/v1"}});
  REQUIRE(eventually([&] { return way.apart(); }, 15s));
  const auto cut_at = std::chrono::steady_clock::now();
  const auto second = network.node("second", "2");
  const auto completed = [&] {
    return network.client({"job", "show", job}).at("job").at("status") == "completed";
  };
  CHECK(eventually([&] { return said(*second, "task.completed"); }, 10s));
  CHECK(eventually(completed, 5s));
  std::this_thread::sleep_until(cut_at + 2 * kTtl);
  CHECK(said(*first, "lease.fenced"));

  way.heal();
  // It is back, and has had several turns in which it could have sent what it must not.
  const auto asks = [&] {
    const std::vector<std::string> calls = way.passed();
    return std::count_if(calls.begin(), calls.end(), [](const std::string& call) {
             return call.starts_with("GET /v1/tasks");
           }) >= 3;
  };
  CHECK(eventually(asks, 10s));
  first->signal(SIGTERM);
  second->signal(SIGTERM);
  CHECK(first->wait(10s).code == 0);
  CHECK(second->wait(10s).code == 0);
  // The lease was over when it was healed: no heartbeat, no receipt, no byte of the artifact.
  for (const std::string& call : way.passed()) {
    INFO(call);
    CHECK(call.find("/v1/tasks/") == std::string::npos);
    CHECK(call.find("/data") == std::string::npos);
  }
  const Json shown = network.client({"job", "show", job});
  CHECK(shown.at("tasks_summary").at("completed") == 1);
  REQUIRE(shown.at("receipts").size() == 1);
  CHECK(shown.at("receipts").at(0).at("attempt") == 2);
  REQUIRE(shown.at("attempts").size() == 2);
  CHECK(shown.at("attempts").at(0).at("outcome") == "expired");
  CHECK(shown.at("attempts").at(1).at("outcome") == "completed");
  const Json data = network.client({"data", "ls"});
  CHECK(data.dump().find("noop") != std::string::npos);
  INFO(data.dump());
  CHECK(shown.at("receipts").at(0).at("outputs").size() == 1);
}
