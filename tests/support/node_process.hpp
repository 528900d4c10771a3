#pragma once

#include "base/awaitable.hpp"
#include "base/file.hpp"
#include "base/json.hpp"
#include "base/system_clock.hpp"
#include "tests/support/child.hpp"
#include "tests/support/fake_marketplace.hpp"
#include "tests/support/temp_folder.hpp"

#include <chrono>
#include <csignal>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <sys/wait.h>

namespace pn::testing {

/// `posenode run` as a process, against a marketplace that the test's own thread turns: what the
/// process does can be stopped at any call, and what DMS saw is all there.
struct NodeProcess {
  TempFolder dir;
  asio::io_context loop{1};
  SystemClock clock;
  FakeMarketplace market{loop.get_executor(), clock};
  std::string binary;
  std::map<std::string, std::string> settings;
  std::optional<Child> child;

  explicit NodeProcess(std::string program) : binary(std::move(program)) {
    settings = {{"PATH", "/usr/bin:/bin"},
                {"REG_SECRET", "x"},
                {"SECP256K1_PRIVHEX", std::string(63, '0') + "1"},
                {"DDS_BASE_URL", market.url()},
                {"DMS_BASE_URL", market.url() + "/v1"},
                {"STATUS_ADDR", "127.0.0.1:0"},
                {"STATE_DIR", dir.file("state")},
                {"ENABLE_NOOP", "true"},
                {"SFM_COLMAP", "/nonexistent/colmap"},
                {"LOG_FORMAT", "text"},
                {"POLL_BACKOFF_MS_MIN", "5"},
                {"POLL_BACKOFF_MS_MAX", "20"},
                {"LONG_POLL_SECS", "0"},
                {"HEARTBEAT_JITTER_MS", "0"},
                {"DISK_MIN_FREE_MB", "0"},
                {"DISK_MAX_USED_PCT", "100"},
                {"INODE_MAX_USED_PCT", "100"}};
    asio::co_spawn(loop,
                   market.run(),
                   asio::bind_cancellation_slot(
                       cancel_.slot(), [this](const std::exception_ptr&) { market_done_ = true; }));
  }
  ~NodeProcess() {
    child.reset();
    cancel_.emit(asio::cancellation_type::terminal);
    turn([this] { return market_done_; });
  }
  NodeProcess(const NodeProcess&) = delete;
  NodeProcess& operator=(const NodeProcess&) = delete;

  void start(const std::vector<std::string>& options = {}) {
    std::vector<std::string> words{binary, "run"};
    words.insert(words.end(), options.begin(), options.end());
    child.emplace(words, settings);
  }

  /// Turns the marketplace until `done`; false after `limit`.
  bool turn(const std::function<bool()>& done,
            std::chrono::milliseconds limit = std::chrono::seconds(10)) {
    const auto end = std::chrono::steady_clock::now() + limit;
    loop.restart();
    while (!done() && std::chrono::steady_clock::now() < end) {
      loop.run_one_for(std::chrono::milliseconds(5));
      loop.restart();
    }
    return done();
  }
  [[nodiscard]] bool ended() const {
    siginfo_t info{};
    const auto id = static_cast<id_t>(child->pid());
    return ::waitid(P_PID, id, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0;
  }
  /// Its end, with the marketplace turning meanwhile.
  ChildResult end(std::chrono::milliseconds limit = std::chrono::seconds(10)) {
    turn([this] { return ended(); }, limit);
    return child->wait(std::chrono::seconds(1));
  }
  /// A client command for this node, with the marketplace turning meanwhile.
  ChildResult command(std::vector<std::string> words) {
    words.insert(words.begin(), binary);
    Child client(words, {{"PATH", "/usr/bin:/bin"}, {"STATE_DIR", settings.at("STATE_DIR")}});
    const auto done = [&] {
      siginfo_t info{};
      const auto id = static_cast<id_t>(client.pid());
      return ::waitid(P_PID, id, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0;
    };
    turn(done);
    return client.wait(std::chrono::seconds(1));
  }
  [[nodiscard]] std::size_t polls() const { return market.of("/v1/tasks").size(); }

 private:
  asio::cancellation_signal cancel_;
  bool market_done_ = false;
};

}  // namespace pn::testing
