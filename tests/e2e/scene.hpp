#pragma once

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
#include <utility>
#include <vector>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <signal.h>

namespace pn::testing {

using namespace std::chrono_literals;

/// A marketplace of the test's, and a node that is a process.
struct Scene {
  asio::io_context context{1};
  SystemClock clock;
  FakeMarketplace market{context.get_executor(), clock};
  std::optional<FaultProxy> proxy;  ///< before the domain server
  std::string domain_server_url;    ///< as the lease has it; empty: the proxy's
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

  void start(const std::string& task_meta,
             std::vector<std::string> command = {POSENODE_BINARY, "run"},
             const std::map<std::string, std::string>& more = {}) {
    const std::string url = domain_server_url.empty() ? proxy->url() : domain_server_url;
    market.offer("t1", Json{{"domain_server_url", url}}, Json{{"meta", *parse_json(task_meta)}});
    std::map<std::string, std::string> settings{{"PATH", "/usr/bin:/bin"},
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
                                                {"WORK_DIR", folder.file("work")}};
    for (const auto& [name, value] : more) settings[name] = value;
    node.emplace(std::move(command), settings);
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
    market.on_heartbeat = [](const FakeMarketplace::Call&) {
      return std::optional(
          FakeMarketplace::Answer{.status = 409, .body = R"({"error":{"code":"lease_lost"}})"});
    };
    node->signal(SIGCONT);
  }
  [[nodiscard]] std::size_t polls() const { return market.of("/tasks").size(); }
};

}  // namespace pn::testing
