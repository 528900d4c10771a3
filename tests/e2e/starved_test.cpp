#include "base/json.hpp"
#include "tests/support/child.hpp"
#include "tests/support/fake_marketplace.hpp"
#include "tests/support/node_process.hpp"
#include "tests/support/stalled_disk.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iostream>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

// The real binary, beside programs that want every core, on a disk that does not answer: whatever
// thread of it touches a file waits in the kernel. (node/heartbeat_faults_test.cpp stalls the pools
// alone.)

using namespace pn;           // NOLINT(google-build-using-namespace)
using namespace pn::testing;  // NOLINT(google-build-using-namespace)
using namespace std::chrono_literals;

namespace {

/// Two threads for every core, so that none is ever free.
class BusyCores {
 public:
  BusyCores() {
    for (unsigned i = 0; i < 2 * std::max(2U, std::thread::hardware_concurrency()); ++i) {
      threads_.emplace_back([this] {
        std::uint64_t spin = 0;
        while (!over_) spin = spin * 6364136223846793005U + 1;
      });
    }
  }
  ~BusyCores() {
    over_ = true;
    for (std::thread& thread : threads_) thread.join();
  }
  BusyCores(const BusyCores&) = delete;
  BusyCores& operator=(const BusyCores&) = delete;

 private:
  std::atomic<bool> over_{false};
  std::vector<std::thread> threads_;
};

struct Starved : NodeProcess {
  StalledDisk disk{dir.path.string(), STALL_FILES};

  Starved() : NodeProcess(POSENODE_BINARY) {}
  ~Starved() { child.reset(); }
  Starved(const Starved&) = delete;
  Starved& operator=(const Starved&) = delete;
};

/// A task of `work`, on a disk that stalls from its start until after its end.
void starve(std::chrono::seconds ttl, std::chrono::seconds work) {
  if (!StalledDisk::possible()) {
    WARN("skipped: this kernel has no user notification of seccomp");
    return;
  }
  Starved node;
  node.market.lease_ttl = ttl;
  node.market.offer("t1", Json::object(), Json{{"meta", {{"sleep_secs", work.count()}}}});
  node.child.emplace(node.disk.command({node.binary, "run"}), node.settings);
  const auto logged = [&](const std::string& event) {
    return node.child->look().err.find(event) != std::string::npos;
  };
  using Call = FakeMarketplace::Call;
  std::vector<std::chrono::steady_clock::time_point> beats;
  node.market.on_heartbeat = [&](const Call&) {
    beats.push_back(std::chrono::steady_clock::now());
    return std::optional<FakeMarketplace::Answer>();
  };
  REQUIRE(node.turn([&] { return logged("task.started"); }, 20s));
  std::optional<BusyCores> busy(std::in_place);
  node.disk.stall();
  const auto stalled_at = std::chrono::steady_clock::now();
  // The outcome waits for the disk, and its lease is kept meanwhile.
  node.turn([&] { return false; }, work + ttl + 1s);
  CHECK(node.disk.waiting() > 0);
  CHECK(node.market.of("/complete").empty());
  const auto stalled = std::chrono::steady_clock::now() - stalled_at;
  node.disk.release();
  CHECK(node.turn([&] { return node.market.of("/complete").size() == 1; }, 20s));
  busy.reset();
  const std::string log = node.child->look().err;
  INFO(log);
  CHECK(log.find("lease.fenced") == std::string::npos);
  CHECK(log.find("lease.lost") == std::string::npos);
  CHECK(node.market.of("/fail").empty());
  std::chrono::duration<double> longest{0};
  for (std::size_t i = 1; i < beats.size(); ++i) {
    longest = std::max<std::chrono::duration<double>>(longest, beats[i] - beats[i - 1]);
  }
  CHECK(longest < ttl);
  CHECK(beats.size() >= static_cast<std::size_t>(stalled / ttl));
  std::cout << "heartbeat_starved: " << std::chrono::duration<double>(stalled).count()
            << " s without a disk, lease time " << ttl.count() << " s: " << beats.size()
            << " heartbeats, " << longest.count() << " s apart at most\n";
}

}  // namespace

TEST_CASE("heartbeat_starved: no core free and no disk, no lease of 2 s is missed",
          "[e2e][heartbeat_starved]") {
  starve(2s, 1s);
}

TEST_CASE("heartbeat_starved: no core free and no disk for 60 s, no lease of 10 s is missed",
          "[.slow][e2e][heartbeat_starved]") {
  starve(10s, 49s);
}
