#include "base/awaitable.hpp"
#include "base/json.hpp"
#include "base/system_clock.hpp"
#include "http/url.hpp"
#include "tests/support/child.hpp"
#include "tests/support/fake_marketplace.hpp"
#include "tests/support/fault_proxy.hpp"
#include "tests/support/temp_folder.hpp"

#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <signal.h>

// The real binary, stopped for longer than its lease: what it does when it goes on.

using namespace pn;           // NOLINT(google-build-using-namespace)
using namespace pn::testing;  // NOLINT(google-build-using-namespace)
using namespace std::chrono_literals;

namespace {

using Call = FakeMarketplace::Call;
using Answer = FakeMarketplace::Answer;

/// A marketplace of the test's, and a node that is a process.
struct Scene {
  asio::io_context context{1};
  SystemClock clock;
  FakeMarketplace market{context.get_executor(), clock};
  std::optional<FaultProxy> proxy;  ///< before the domain server
  TempFolder folder;
  asio::cancellation_signal over;
  bool market_done = false;
  std::optional<Child> node;

  Scene() {
    market.lease_ttl = 2s;
    const auto pass = [](std::string_view, std::string_view) { return Fault::none; };
    proxy.emplace(context, http::Url::parse(market.url()).value().port(), pass);
    asio::co_spawn(context,
                   market.run(),
                   asio::bind_cancellation_slot(
                       over.slot(), [this](const std::exception_ptr&) { market_done = true; }));
  }
  ~Scene() {
    node.reset();
    over.emit(asio::cancellation_type::terminal);
    turn([this] { return market_done; }, 5s);
    proxy.reset();
    turn([] { return false; }, 50ms);
  }

  void start(const std::string& task_meta) {
    market.offer(
        "t1", Json{{"domain_server_url", proxy->url()}}, Json{{"meta", *parse_json(task_meta)}});
    node.emplace(
        std::vector<std::string>{POSENODE_BINARY, "run"},
        std::map<std::string, std::string>{{"PATH", "/usr/bin:/bin"},
                                           {"SFM_COLMAP", "/nonexistent/colmap"},
                                           {"ENABLE_NOOP", "true"},
                                           {"REG_SECRET", "x"},
                                           {"SECP256K1_PRIVHEX", std::string(63, '0') + "1"},
                                           {"DDS_BASE_URL", market.url()},
                                           {"DMS_BASE_URL", market.url() + "/v1"},
                                           {"POLL_BACKOFF_MS_MIN", "50"},
                                           {"POLL_BACKOFF_MS_MAX", "100"},
                                           {"LONG_POLL_SECS", "0"},
                                           {"DISK_MIN_FREE_MB", "0"},
                                           {"DISK_MAX_USED_PCT", "100"},
                                           {"INODE_MAX_USED_PCT", "100"},
                                           {"STATUS_ADDR", "127.0.0.1:0"},
                                           {"LOG_FORMAT", "text"},
                                           {"STATE_DIR", folder.file("state")},
                                           {"WORK_DIR", folder.file("work")}});
  }
  bool turn(const std::function<bool()>& done, std::chrono::milliseconds limit) {
    const auto end = std::chrono::steady_clock::now() + limit;
    context.restart();
    while (!done() && std::chrono::steady_clock::now() < end) context.run_one_for(10ms);
    return done();
  }
  /// Stopped for twice its lease; another node has the task by then.
  void freeze() {
    node->signal(SIGSTOP);
    turn([] { return false; }, 2 * market.lease_ttl);
    market.on_heartbeat = [](const Call&) {
      return std::optional(Answer{.status = 409, .body = R"({"error":{"code":"lease_lost"}})"});
    };
    node->signal(SIGCONT);
  }
  [[nodiscard]] std::size_t polls() const { return market.of("/tasks").size(); }
};

}  // namespace

TEST_CASE("lease_fence: a node that was stopped for two leases writes nothing any more",
          "[e2e][lease_fence]") {
  Scene scene;
  SECTION("in the middle of its work") {
    scene.start(R"({"sleep_secs":30})");
    REQUIRE(scene.turn([&] { return scene.market.of("/heartbeat").size() >= 2; }, 20s));
    const std::size_t beats = scene.market.of("/heartbeat").size();
    scene.freeze();
    const std::size_t polls = scene.polls();
    REQUIRE(scene.turn([&] { return scene.polls() > polls; }, 10s));
    // A beat that was on its way when the process was stopped is refused; no new one is made.
    CHECK(scene.market.of("/heartbeat").size() <= beats + 1);
  }
  SECTION("in the middle of an upload") {
    scene.proxy->stall_after(1'000'000);
    scene.start(R"({"sleep_secs":0.1,"output_bytes":25000000})");
    REQUIRE(scene.turn([&] { return scene.proxy->stalled(); }, 20s));
    scene.freeze();
    scene.proxy->stall_after(std::string::npos);
    const std::size_t polls = scene.polls();
    REQUIRE(scene.turn([&] { return scene.polls() > polls; }, 10s));
    scene.turn([] { return false; }, 200ms);
  }
  CHECK(scene.market.uploads().empty());
  CHECK(scene.market.of("/complete").empty());
  CHECK(scene.market.of("/fail").empty());
  scene.node->signal(SIGTERM);
  bool ended = false;
  // Its goodbye needs the marketplace's loop no more.
  const ChildResult result = scene.node->wait(20s);
  ended = result.code == 0;
  INFO(result.err);
  CHECK(ended);
  CHECK(result.err.find("lease.fenced") != std::string::npos);
}
