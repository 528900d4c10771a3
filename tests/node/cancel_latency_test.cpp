#include "base/awaitable.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "tests/node/node_world.hpp"
#include "tests/support/fake_marketplace.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <map>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <catch2/catch.hpp>

namespace pn::node {
namespace {

constexpr std::size_t kTasks = 128;
constexpr Millis kTtl{2000};

/// When jobs are cancelled at the server, and when their runners came to know. The map is filled on
/// the control loop, `stopped` on the transfer loop.
struct Times {
  std::mutex mutex;
  std::map<std::string, SteadyTime> cancelled;  // by task
  std::map<std::string, SteadyTime> stopped;
};

/// Notes when the runner's coroutine is unwound.
struct Noted {
  Times& times;
  std::string task;
  ~Noted() {
    const std::lock_guard lock(times.mutex);
    times.stopped[task] = std::chrono::steady_clock::now();
  }
};

std::string task_of(const std::string& heartbeat_path) {
  const std::string before = "/tasks/";
  const std::size_t begin = heartbeat_path.find(before) + before.size();
  return heartbeat_path.substr(begin, heartbeat_path.find('/', begin) - begin);
}

}  // namespace

TEST_CASE("cancel_latency: a runner stops soon after its job was cancelled at the server",
          "[node][cancel_latency][mt]") {
  const auto seed = static_cast<unsigned>(std::random_device()());
  INFO("seed " << seed);
  std::mt19937 random(seed);
  Times times;
  World world;
  world.config.max_concurrency = kTasks;
  world.config.lease_fence_margin = Millis(300);
  world.market.lease_ttl = kTtl;
  world.add([&times](TaskContext& task) -> Awaitable<Result<void>> {
    const Noted noted{.times = times, .task = task.info().id.str()};
    co_await task.clock().sleep_for(std::chrono::hours(1));
    co_return Result<void>();
  });
  // Each job is cancelled at a moment of its own within a lease time after it began to run.
  world.market.on_heartbeat = [&](const Call& call) -> std::optional<Answer> {
    const SteadyTime now = std::chrono::steady_clock::now();
    const auto wait = Millis(300 + static_cast<int>(random() % kTtl.count()));
    const auto at = times.cancelled.try_emplace(task_of(call.path), now + wait).first;
    if (now < at->second) return std::nullopt;
    return Answer{.status = 200, .body = R"({"cancel":true})"};
  };
  for (std::size_t i = 0; i < kTasks; ++i) world.market.offer("t" + std::to_string(i));
  world.start();
  REQUIRE(world.turn([&] {
    const std::lock_guard lock(times.mutex);
    return times.stopped.size() == kTasks;
  }));

  std::vector<Millis> took;
  for (const auto& [task, stopped] : times.stopped) {
    took.push_back(std::chrono::duration_cast<Millis>(stopped - times.cancelled.at(task)));
  }
  std::sort(took.begin(), took.end());
  const Millis p99 = took[(took.size() * 99 + 99) / 100 - 1];
  INFO("p50 " << took[took.size() / 2].count() << " ms, p99 " << p99.count() << " ms, longest "
              << took.back().count() << " ms");
  CHECK(took.front() >= Millis(0));  // none before its job was cancelled: no lease was lost
  CHECK(p99 <= kTtl * 35 / 100 + Millis(100));
  CHECK(world.market.of("/complete").empty());
  CHECK(world.market.of("/fail").empty());
}

}  // namespace pn::node
