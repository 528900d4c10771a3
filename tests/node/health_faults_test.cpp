#include "base/awaitable.hpp"
#include "base/json.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "http/client.hpp"
#include "http/types.hpp"
#include "http/unix_socket.hpp"
#include "http/url.hpp"
#include "node/config.hpp"
#include "node/control_server.hpp"
#include "node/disk_guard.hpp"
#include "node/node.hpp"
#include "tests/node/node_world.hpp"
#include "tests/support/fake_marketplace.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <exception>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

// Faults of the world around a whole node: the right check turns red, no other, and green again.

namespace pn::node {
namespace {

/// The pause between two polls, and between two sign-ins.
constexpr auto kInterval = 250ms;

enum class Room { enough, no_bytes, no_inodes };

Space space_of(Room room) {
  Space out{.bytes = 1ULL << 40U, .free_bytes = 1ULL << 39U, .inodes = 1000, .free_inodes = 900};
  if (room == Room::no_bytes) out.free_bytes = 1 << 20U;
  if (room == Room::no_inodes) out.free_inodes = 10;
  return out;
}

struct Watched : World {
  std::unique_ptr<http::HttpClient> control_client;  // of the node's socket

  Watched() {
    config.poll_backoff_min = kInterval;
    config.poll_backoff_max = kInterval;
    config.request_timeout = 1s;
    config.token_reauth_jitter = 0ms;
    config.token_reauth_max_retries = 0;
    config.disk_min_free_mb = 1000;
    config.disk_max_used_pct = 90;
    config.inode_max_used_pct = 80;
    space = [this](const std::filesystem::path&) -> Result<Space> { return space_of(room.load()); };
    add(sleep_long);
    start();
    REQUIRE(turn([&] { return node->status_port() != 0; }));
    REQUIRE(until([](const Json& status) { return status["ready"] == true; }, 5s));
  }

  Json status() {
    const std::string base = "http://127.0.0.1:" + std::to_string(node->status_port());
    http::Request request(http::Url::parse(base).value().with_path("/status.json"));
    return ask(*control_http, std::move(request));
  }
  void order(std::string_view name) {
    const Result<http::UnixPath> path = http::UnixPath::of(control_socket(config.state_dir));
    REQUIRE(path);
    http::ClientOptions options;
    options.unix_socket = path->str();
    control_client = *http::make_http_client(control.get_executor(), std::move(options));
    http::Request request(http::Method::post,
                          http::Url::parse("http://localhost").value().with_path(name));
    CHECK(ask(*control_client, std::move(request)).contains("state"));
    control_client.reset();
  }
  Json ask(http::HttpClient& client, http::Request request) {
    std::optional<Result<http::Response>> out;
    const auto get = [&]() -> Awaitable<void> { out = co_await client.send(std::move(request)); };
    asio::co_spawn(control, get(), [](const std::exception_ptr&) {});
    REQUIRE(turn([&] { return out.has_value(); }));
    REQUIRE(out->ok());
    return *parse_json((*out)->body);
  }
  /// Whether the status comes to be so within `limit`.
  bool until(const std::function<bool(const Json&)>& so, std::chrono::milliseconds limit) {
    const SteadyTime end = clock.steady_now() + limit;
    for (;;) {
      if (so(status())) return true;
      if (clock.steady_now() >= end) return false;
      const SteadyTime look = clock.steady_now() + 10ms;
      turn([&] { return clock.steady_now() >= look; });
    }
  }

  std::atomic<Room> room{Room::enough};
};

std::vector<std::string> red(const Json& status) {
  std::vector<std::string> out;
  for (const Json& check : status["checks"]) {
    if (check["ok"] == false) out.push_back(check["name"]);
  }
  return out;
}

struct Fault {
  const char* name;
  std::vector<std::string> checks;
  std::chrono::milliseconds interval;
  std::function<void(Watched&)> happens;
  std::function<void(Watched&)> ends;
};

FakeMarketplace::Script answers(int status) {
  return [status](const Call&) { return Answer{.status = status}; };
}

void refuse_tokens(Watched& world, int sign_in) {
  world.market.on_claim = answers(401);
  world.market.on_sign_in = answers(sign_in);
}
void accept_tokens(Watched& world) {
  world.market.on_claim = nullptr;
  world.market.on_sign_in = nullptr;
}

const std::vector<Fault>& faults() {
  static const std::vector<Fault> all{{"DMS answers 500",
                                       {"poll"},
                                       kInterval,
                                       [](Watched& w) { w.market.on_claim = answers(500); },
                                       [](Watched& w) { w.market.on_claim = nullptr; }},
                                      {"DMS does not answer",
                                       {"poll"},
                                       1s,  // REQUEST_TIMEOUT_SECS
                                       [](Watched& w) {
                                         w.market.on_claim = [](const Call&) {
                                           return Answer{.after = std::chrono::hours(1)};
                                         };
                                       },
                                       [](Watched& w) { w.market.on_claim = nullptr; }},
                                      {"sign-in is refused",
                                       {"token", "poll"},
                                       kInterval,
                                       [](Watched& w) { refuse_tokens(w, 401); },
                                       accept_tokens},
                                      {"DDS is down",
                                       {"token", "poll"},
                                       kInterval,
                                       [](Watched& w) { refuse_tokens(w, 503); },
                                       accept_tokens},
                                      {"the disk is below the floor",
                                       {"disk"},
                                       1s,  // a look at the disk is good for that long
                                       [](Watched& w) { w.room = Room::no_bytes; },
                                       [](Watched& w) { w.room = Room::enough; }},
                                      {"the inodes are used up",
                                       {"disk"},
                                       1s,
                                       [](Watched& w) { w.room = Room::no_inodes; },
                                       [](Watched& w) { w.room = Room::enough; }},
                                      {"the clock is ten minutes off",
                                       {"clock"},
                                       kInterval,
                                       [](Watched& w) { w.market_clock.skew = 600s; },
                                       [](Watched& w) { w.market_clock.skew = 0s; }},
                                      {"an operator pauses it",
                                       {"pause"},
                                       kInterval,
                                       [](Watched& w) { w.order("/pause"); },
                                       [](Watched& w) { w.order("/resume"); }}};
  return all;
}

}  // namespace

TEST_CASE("health: with each fault the right check turns red within two intervals, and green again",
          "[node][e2e][mt][health]") {
  const std::size_t which = GENERATE(range(std::size_t{0}, std::size_t{8}));
  REQUIRE(faults().size() == 8);
  const Fault& fault = faults()[which];
  INFO(fault.name);
  Watched world;
  fault.happens(world);
  // The second half of the allowance is this machine's.
  const auto limit = 2 * fault.interval + 250ms;
  CHECK(world.until([&](const Json& status) { return red(status) == fault.checks; }, limit));
  fault.ends(world);
  const bool green = world.until([](const Json& status) { return status["ready"] == true; }, limit);
  INFO(dump_json(world.status()));
  CHECK(green);
}

TEST_CASE("health: a node that drains is not ready", "[node][e2e][mt][health]") {
  Watched world;
  world.market.offer("t1");
  REQUIRE(world.turn([&] { return world.logged("task.started"); }));
  CHECK(world.status()["state"] == "full");
  world.node->request_stop();
  const Json status = world.status();
  CHECK(status["state"] == "draining");
  CHECK(red(status) == std::vector<std::string>{"drain"});
}

}  // namespace pn::node
