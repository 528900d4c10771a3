#pragma once

#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/file.hpp"
#include "base/ids.hpp"
#include "base/json.hpp"
#include "base/log.hpp"
#include "base/offload.hpp"
#include "base/result.hpp"
#include "base/secret.hpp"
#include "base/system_clock.hpp"
#include "base/system_rng.hpp"
#include "http/client.hpp"
#include "node/config.hpp"
#include "node/disk_guard.hpp"
#include "node/node.hpp"
#include "runners/registry.hpp"
#include "runners/task_context.hpp"
#include "storage/ports.hpp"
#include "tests/node/node_fixture.hpp"
#include "tests/support/fake_marketplace.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <exception>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <catch2/catch.hpp>

namespace pn::node {

using namespace std::chrono_literals;
using pn::testing::FakeMarketplace;
using pn::testing::TempFolder;
using runners::TaskContext;
using testing::FakeRunner;
using testing::sleep_long;
using testing::succeed;
using Call = FakeMarketplace::Call;
using Answer = FakeMarketplace::Answer;

inline const char* const kKey = "4c0883a69102937d6231471b5dbb6204fe5129617082798ce3f4fdf2548b6f90";

/// A wall clock that can be set.
struct SkewedClock final : Clock {
  explicit SkewedClock(Clock& c) : clock(c) {}
  Clock& clock;
  std::chrono::seconds skew{0};
  [[nodiscard]] SystemTime system_now() const override { return clock.system_now() + skew; }
  [[nodiscard]] SteadyTime steady_now() const override { return clock.steady_now(); }
  Awaitable<void> sleep_until(SteadyTime when) override { return clock.sleep_until(when); }
};

/// A whole node over real sockets and real threads, as bin builds it. The test's thread is the
/// control loop, and the marketplace's.
struct World {
  TempFolder dir;
  SystemClock clock;
  SystemRng rng;
  asio::io_context control{1};
  asio::io_context transfer{1};
  asio::executor_work_guard<asio::io_context::executor_type> transfer_work{
      asio::make_work_guard(transfer)};
  ThreadPool compute{"compute", 1};
  ThreadPool io{"io", 1};
  SkewedClock market_clock{clock};
  FakeMarketplace market{control.get_executor(), market_clock};
  SpaceProbe space = probe_space;
  std::unique_ptr<http::HttpClient> control_http;
  std::unique_ptr<http::HttpClient> transfer_http;
  runners::Registry registry;
  Config config;
  std::vector<std::string> log_lines;  // under log_mutex
  std::mutex log_mutex;
  std::unique_ptr<Node> node;
  std::thread transfer_thread;

  asio::cancellation_signal market_cancel;
  asio::cancellation_signal node_cancel;
  bool market_done = false;
  std::optional<Result<void>> result;
  std::exception_ptr node_failure;
  bool node_done = false;

  World() {
    config.reg_secret = Secret<std::string>("reg-secret");
    config.private_key = Secret<std::string>(kKey);
    config.dms_base_url = http::Url::parse(market.url() + "/v1").value();
    config.dds_base_url = http::Url::parse(market.url()).value();
    config.client_id = "test";
    config.node_version = "1.2.3";
    config.state_dir = dir.path / "state";
    config.work_dir = dir.path / "work";
    config.disk_min_free_mb = 0;  // this machine's disk is no part of a test
    config.disk_max_used_pct = 100;
    config.inode_max_used_pct = 100;
    config.status_addr = {.address = "127.0.0.1", .port = 0};
    config.poll_backoff_min = 5ms;
    config.poll_backoff_max = 10ms;
    config.long_poll = 0s;
    config.heartbeat_jitter = 0ms;
    control_http = *http::make_http_client(control.get_executor(), client_options(config));
    transfer_http = *http::make_http_client(transfer.get_executor(), client_options(config));
    asio::co_spawn(control,
                   market.run(),
                   asio::bind_cancellation_slot(
                       market_cancel.slot(), [this](std::exception_ptr) { market_done = true; }));
  }

  ~World() {
    if (node) {
      node_cancel.emit(asio::cancellation_type::terminal);
      turn([this] { return node_done; });
      node.reset();
    }
    market_cancel.emit(asio::cancellation_type::terminal);
    turn([this] { return market_done; });
    control_http.reset();
    transfer_work.reset();
    if (transfer_thread.joinable()) {
      asio::post(transfer, [this] { transfer_http.reset(); });
      transfer_thread.join();
    }
  }

  void add(FakeRunner::Body body) {
    registry.add(Capability("/noop/v1"), std::make_shared<FakeRunner>(std::move(body)));
  }

  NodeParts parts() {
    log::Options options{.level = log::Level::debug, .format = log::Format::text};
    log::Logger logger(options, [this](log::Level, std::string_view line) {
      const std::lock_guard lock(log_mutex);
      log_lines.emplace_back(line);
    });
    NodeParts out{control.get_executor(),
                  transfer.get_executor(),
                  compute,
                  io,
                  clock,
                  rng,
                  *control_http,
                  *transfer_http,
                  registry,
                  logger};
    out.space = space;
    return out;
  }

  void start() {
    node = std::make_unique<Node>(parts(), config);
    transfer_thread = std::thread([this] { transfer.run(); });
    asio::co_spawn(control,
                   run_node(),
                   asio::bind_cancellation_slot(node_cancel.slot(), [this](std::exception_ptr e) {
                     node_failure = e;
                     node_done = true;
                   }));
  }
  Awaitable<void> run_node() { result = co_await node->run(); }

  /// Turns the control loop until `done`; false after ten seconds.
  bool turn(const std::function<bool()>& done) {
    const auto end = std::chrono::steady_clock::now() + 10s;
    control.restart();
    while (!done() && std::chrono::steady_clock::now() < end) control.run_one_for(20ms);
    return done();
  }
  bool logged(std::string_view text) {
    const std::lock_guard lock(log_mutex);
    for (const std::string& line : log_lines) {
      if (line.find(text) != std::string::npos) return true;
    }
    return false;
  }
};

}  // namespace pn::node
