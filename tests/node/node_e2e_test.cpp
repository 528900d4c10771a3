#include "base/awaitable.hpp"
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
namespace {

using namespace std::chrono_literals;
using pn::testing::FakeMarketplace;
using runners::TaskContext;
using testing::FakeRunner;
using testing::TempDir;
using Call = FakeMarketplace::Call;
using Answer = FakeMarketplace::Answer;

const char* const kKey = "4c0883a69102937d6231471b5dbb6204fe5129617082798ce3f4fdf2548b6f90";

/// A whole node over real sockets and real threads, as bin builds it. The test's thread is the
/// control loop, and the marketplace's.
struct World {
  TempDir dir;
  SystemClock clock;
  SystemRng rng;
  asio::io_context control{1};
  asio::io_context transfer{1};
  asio::executor_work_guard<asio::io_context::executor_type> transfer_work{
      asio::make_work_guard(transfer)};
  ThreadPool compute{"compute", 1};
  ThreadPool io{"io", 1};
  FakeMarketplace market{control.get_executor(), clock};
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
    return NodeParts{control.get_executor(),
                     transfer.get_executor(),
                     compute,
                     io,
                     clock,
                     rng,
                     *control_http,
                     *transfer_http,
                     registry,
                     logger};
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

Awaitable<Result<void>> succeed(TaskContext&) { co_return Result<void>(); }

Awaitable<Result<void>> sleep_long(TaskContext& task) {
  co_await task.clock().sleep_for(std::chrono::hours(1));
  co_return Result<void>();
}

}  // namespace

TEST_CASE("node: from registration to receipt", "[node][e2e][mt]") {
  World world;
  world.add([](TaskContext& task) -> Awaitable<Result<void>> {
    task.progress(R"({"percent":50})");
    const storage::PutOptions options;
    const auto put = co_await task.outputs().put_bytes("hello.json", "{}", options);
    if (!put) co_return put.error();
    co_return Result<void>();
  });
  world.market.offer("t1");
  world.start();
  REQUIRE(world.turn([&] { return world.market.of("/complete").size() == 1; }));

  const auto registered = world.market.of("/register-wallet");
  REQUIRE(registered.size() == 1);
  CHECK(registered[0].json()["capabilities"] == Json::array({"/noop/v1"}));
  CHECK(registered[0].json()["version"] == "1.2.3");
  CHECK(registered[0].json()["registration_credentials"] == "reg-secret");
  CHECK(world.market.of("/v1/tasks")[0].bearer == "node-token-1");
  REQUIRE_FALSE(world.market.of("/heartbeat").empty());
  CHECK(world.market.of("/heartbeat").back().json()["progress"]["percent"] == 50);
  REQUIRE(world.market.uploads().size() == 1);
  CHECK(world.market.uploads()[0].bearer == "task-token-1");
  const Json receipt = world.market.of("/complete")[0].json();
  CHECK(receipt["output_cids"] == Json::array({"data-1"}));
  CHECK(receipt["meta"]["artifacts"][0]["logical_path"] == "hello.json");
  CHECK(world.market.of("/complete")[0].bearer == "node-token-1");
  CHECK(world.logged("node.started"));
  CHECK(world.logged("address=0xfdbb6caf01414300c16ea14859fec7736d95355f"));
  CHECK(world.logged("capabilities=/noop/v1"));
  CHECK_FALSE(world.logged("reg-secret"));
  CHECK_FALSE(world.logged("task-token-1"));
  CHECK_FALSE(world.logged("node-token-1"));

  world.node->request_stop();
  REQUIRE(world.turn([&] { return world.node_done; }));
  CHECK_FALSE(world.node_failure);
  REQUIRE(world.result);
  CHECK(world.result->ok());
}

TEST_CASE("node: a task without news is three requests, and the next follows at once",
          "[node][e2e][mt]") {
  World world;
  world.add(succeed);
  constexpr std::size_t kTasks = 50;
  for (std::size_t i = 0; i < kTasks; ++i) world.market.offer("t" + std::to_string(i));
  world.start();
  std::size_t completed = 0;
  world.market.on_receipt = [&](const Call&) -> std::optional<Answer> {
    ++completed;
    return std::nullopt;
  };
  REQUIRE(world.turn([&] { return completed == kTasks; }));
  CHECK(world.market.of("/heartbeat").size() == kTasks);
  CHECK(world.market.of("/v1/tasks").size() <= kTasks + 1);
}

TEST_CASE("node: a token rotated by a heartbeat is used by the next upload", "[node][e2e][mt]") {
  World world;
  std::atomic<bool> rotated{false};
  world.add([&](TaskContext& task) -> Awaitable<Result<void>> {
    const storage::PutOptions options;
    const auto one = co_await task.outputs().put_bytes("one.json", "1", options);
    task.event("\"rotate\"");
    while (!rotated) co_await task.clock().sleep_for(1ms);
    co_await task.clock().sleep_for(50ms);  // the answer is on its way
    const auto two = co_await task.outputs().put_bytes("two.json", "2", options);
    co_return Result<void>();
  });
  world.market.on_heartbeat = [&](const Call& call) -> std::optional<Answer> {
    if (call.json()["events"].empty()) return std::nullopt;
    rotated = true;
    return Answer{.status = 200, .body = R"({"access_token":"task-token-2"})"};
  };
  world.market.offer("t1");
  world.start();
  REQUIRE(world.turn([&] { return world.market.of("/complete").size() == 1; }));
  REQUIRE(world.market.uploads().size() == 2);
  CHECK(world.market.uploads()[0].bearer == "task-token-1");
  CHECK(world.market.uploads()[1].bearer == "task-token-2");
}

TEST_CASE("node: a refused task token is renewed by a heartbeat in the middle of an upload",
          "[node][e2e][mt]") {
  World world;
  world.add([](TaskContext& task) -> Awaitable<Result<void>> {
    const storage::PutOptions options;
    const auto put = co_await task.outputs().put_bytes("one.json", "1", options);
    if (!put) co_return put.error();
    co_return Result<void>();
  });
  world.market.on_upload = [](const Call& call) -> std::optional<Answer> {
    if (call.bearer == "task-token-2") return std::nullopt;
    return Answer{.status = 401};
  };
  int beats = 0;
  world.market.on_heartbeat = [&](const Call&) -> std::optional<Answer> {
    if (++beats == 1) return std::nullopt;
    return Answer{.status = 200, .body = R"({"access_token":"task-token-2"})"};
  };
  world.market.offer("t1");
  world.start();
  REQUIRE(world.turn(
      [&] { return world.market.of("/complete").size() + world.market.of("/fail").size() == 1; }));
  CHECK(world.market.of("/complete").size() == 1);
  CHECK(beats == 2);
}

TEST_CASE("node: cancel stops the runner and sends no receipt", "[node][e2e][mt]") {
  World world;
  std::atomic<bool> unwound{false};
  world.add([&](TaskContext& task) -> Awaitable<Result<void>> {
    struct Note {
      std::atomic<bool>& flag;
      ~Note() { flag = true; }
    };
    const Note note{unwound};
    task.progress("1");
    co_await task.clock().sleep_for(1h);
    co_return Result<void>();
  });
  world.market.on_heartbeat = [](const Call& call) -> std::optional<Answer> {
    if (call.json()["progress"] != 1) return std::nullopt;
    return Answer{.status = 200, .body = R"({"cancel":true})"};
  };
  world.market.offer("t1");
  world.start();
  REQUIRE(world.turn([&] { return unwound.load(); }));
  const std::size_t polls = world.market.of("/v1/tasks").size();
  REQUIRE(world.turn([&] { return world.market.of("/v1/tasks").size() > polls; }));
  CHECK(world.market.of("/complete").empty());
  CHECK(world.market.of("/fail").empty());
}

TEST_CASE("node: a runner's failure sends fail with the artifacts so far", "[node][e2e][mt]") {
  World world;
  world.add([](TaskContext& task) -> Awaitable<Result<void>> {
    const storage::PutOptions options;
    const auto put = co_await task.outputs().put_bytes("log.txt", "why", options);
    co_return Error(ErrorKind::rejected, "too_few_photos", "2 photos are too few");
  });
  world.market.offer("t1");
  world.start();
  REQUIRE(world.turn([&] { return world.market.of("/fail").size() == 1; }));
  const Json body = world.market.of("/fail")[0].json();
  CHECK(body["reason"] == "too_few_photos");
  CHECK(body["details"]["retryable"] == false);
  CHECK(body["details"]["artifacts"][0]["logical_path"] == "log.txt");
  CHECK(body["details"]["artifacts"][0]["id"] == "data-1");
}

TEST_CASE("node: set-up failures send node_setup_failed", "[node][e2e][mt]") {
  World world;
  world.add(succeed);
  std::string stage;
  SECTION("start_session") {
    world.market.offer("t1", Json::object(), Json{{"capability", "/unknown/v1"}});
    stage = "start_session";
  }
  SECTION("initial_heartbeat") {
    world.market.on_heartbeat = [](const Call&) { return Answer{.status = 400}; };
    world.market.offer("t1");
    stage = "initial_heartbeat";
  }
  SECTION("build_ports") {
    world.market.offer("t1", Json{{"domain_server_url", nullptr}});
    stage = "build_ports";
  }
  world.start();
  REQUIRE(world.turn([&] { return world.market.of("/fail").size() == 1; }));
  const Json body = world.market.of("/fail")[0].json();
  CHECK(body["reason"] == "node_setup_failed");
  CHECK(body["details"]["stage"] == stage);
}

TEST_CASE("node: a 401 of DMS renews the node's token once, and goes on", "[node][e2e][mt]") {
  World world;
  world.add(succeed);
  const auto only_second = [](const Call& call) -> std::optional<Answer> {
    if (call.bearer != "node-token-1") return std::nullopt;
    return Answer{.status = 401};
  };
  SECTION("claim") { world.market.on_claim = only_second; }
  SECTION("heartbeat") { world.market.on_heartbeat = only_second; }
  SECTION("receipt") { world.market.on_receipt = only_second; }
  world.market.offer("t1");
  world.start();
  const auto good = [&] {
    for (const Call& call : world.market.of("/complete")) {
      if (call.bearer == "node-token-2") return true;
    }
    return false;
  };
  REQUIRE(world.turn(good));
  CHECK(world.market.of("/siwe/verify").size() == 2);
}

TEST_CASE("node: several slots work at once", "[node][e2e][mt]") {
  World world;
  world.config.max_concurrency = 4;
  std::atomic<int> inside{0};
  world.add([&](TaskContext& task) -> Awaitable<Result<void>> {
    ++inside;
    while (inside < 4) co_await task.clock().sleep_for(1ms);
    co_return Result<void>();
  });
  for (int i = 0; i < 4; ++i) world.market.offer("t" + std::to_string(i));
  world.start();
  REQUIRE(world.turn([&] { return world.market.of("/complete").size() == 4; }));
}

TEST_CASE("node: the first stop finishes the task, the second reports it", "[node][e2e][mt]") {
  World world;
  world.add(sleep_long);
  world.market.offer("t1");
  world.start();
  REQUIRE(world.turn([&] { return world.logged("task.started"); }));
  world.node->request_stop();
  REQUIRE(world.turn([&] { return world.logged("node.draining"); }));
  CHECK_FALSE(world.node_done);
  CHECK(world.node->busy_slots() == 1);
  world.node->cancel_tasks();
  REQUIRE(world.turn([&] { return world.node_done; }));
  REQUIRE(world.market.of("/fail").size() == 1);
  CHECK(world.market.of("/fail")[0].json()["reason"] == "node_shutdown");
  REQUIRE(world.result);
  CHECK(world.result->ok());
}

TEST_CASE("node: a drain that takes too long is cut, and reported", "[node][e2e][mt]") {
  World world;
  world.config.drain_timeout = 1s;
  world.add(sleep_long);
  world.market.offer("t1");
  world.start();
  REQUIRE(world.turn([&] { return world.logged("task.started"); }));
  world.node->request_stop();
  REQUIRE(world.turn([&] { return world.node_done; }));
  CHECK(world.market.of("/fail").size() == 1);
}

TEST_CASE("node: what is wrong with the set-up is said before anything is asked",
          "[node][e2e][mt]") {
  World world;
  std::string code;
  std::unique_ptr<World> other;
  SECTION("no capability") { code = "no_capability"; }
  SECTION("state folder taken") {
    world.add(succeed);
    other = std::make_unique<World>();
    other->add(succeed);
    other->config.state_dir = world.config.state_dir;
    other->start();
    REQUIRE(other->turn([&] { return other->logged("node.started"); }));
    code = "state_locked";
  }
  SECTION("status address taken") {
    world.add(succeed);
    other = std::make_unique<World>();
    other->add(succeed);
    other->start();
    REQUIRE(other->turn([&] { return other->node->status_port() != 0; }));
    world.config.status_addr.port = other->node->status_port();
    code = "address_in_use";
  }
  world.start();
  REQUIRE(world.turn([&] { return world.node_done; }));
  REQUIRE(world.result);
  REQUIRE_FALSE(world.result->ok());
  CHECK(world.result->error().code == code);
  CHECK(world.result->error().kind == ErrorKind::rejected);
  CHECK(world.market.calls.empty());
}

TEST_CASE("node: /livez and /readyz tell how it is", "[node][e2e][mt]") {
  World world;
  world.add(succeed);
  bool refuse = true;
  world.market.on_claim = [&](const Call&) -> std::optional<Answer> {
    if (refuse) return Answer{.status = 503};
    return std::nullopt;
  };
  world.start();
  REQUIRE(world.turn([&] { return world.logged("poll.failed"); }));
  const auto ask = [&](std::string_view path) {
    const std::string base = "http://127.0.0.1:" + std::to_string(world.node->status_port());
    std::optional<http::Response> out;
    const auto get = [&]() -> Awaitable<void> {
      http::Request request(http::Url::parse(base).value().with_path(path));
      auto response = co_await world.control_http->send(std::move(request));
      if (response) out = *std::move(response);
    };
    bool done = false;
    asio::co_spawn(world.control, get(), [&](std::exception_ptr) { done = true; });
    REQUIRE(world.turn([&] { return done; }));
    REQUIRE(out);
    return *out;
  };
  CHECK(ask("/livez").status == 200);
  const http::Response not_ready = ask("/readyz");
  CHECK(not_ready.status == 503);
  const Json checks = (*parse_json(not_ready.body))["checks"];
  CHECK(checks[0]["name"] == "sign_in");
  CHECK(checks[0]["ok"] == true);
  CHECK(checks[1]["name"] == "poll");
  CHECK(checks[1]["ok"] == false);
  refuse = false;
  const std::size_t polls = world.market.of("/v1/tasks").size();
  REQUIRE(world.turn([&] { return world.market.of("/v1/tasks").size() > polls + 1; }));
  CHECK(ask("/readyz").status == 200);
}

TEST_CASE("node: a failed task's workspace is kept and its path logged", "[node][e2e][mt]") {
  World world;
  world.add([](TaskContext& task) -> Awaitable<Result<void>> {
    const Result<void> written = write_file(task.workspace() / "evidence", "x");
    co_return Error(ErrorKind::internal, "broke", "it broke");
  });
  world.market.offer("t1");
  world.start();
  REQUIRE(world.turn([&] { return world.logged("workspace.kept"); }));
  std::size_t kept = 0;
  for (const auto& entry : std::filesystem::directory_iterator(world.config.work_dir)) {
    CHECK(std::filesystem::exists(entry.path() / "evidence"));
    ++kept;
  }
  CHECK(kept == 1);
}

}  // namespace pn::node
