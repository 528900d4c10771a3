#include "base/offload.hpp"
#include "base/rng.hpp"
#include "base/time.hpp"
#include "node/config.hpp"
#include "tests/node/sim_dms.hpp"
#include "tests/node/sim_node.hpp"
#include "tests/support/fake_rng.hpp"
#include "tests/support/test_loop.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

namespace pn::node {
namespace {

using namespace std::chrono_literals;
using testing::SimDms;
using testing::SimNode;

struct Seen {
  std::size_t faults = 0;
  std::size_t crashes = 0;
  std::size_t partitions = 0;
  std::size_t lost = 0;
  bool settled = false;
};

/// Five nodes of four slots, one DMS whose leases last ten seconds, and everything that goes wrong:
/// requests and answers are lost, late, doubled or nonsense, nodes are cut off and killed.
class Simulation {
 public:
  Simulation(std::uint64_t seed, bool lease_ids, double rate)
      : rng_(seed), dms(loop_.clock, 10s, lease_ids) {
    config_.max_concurrency = 4;
    config_.poll_backoff_min = 100ms;
    config_.poll_backoff_max = 2s;
    config_.long_poll = 0s;
    config_.request_timeout = 10s;
    config_.breaker_failures = 0;
    config_.disk_min_free_mb = 0;
    config_.disk_max_used_pct = 100;
    config_.inode_max_used_pct = 100;
    config_.work_dir = "/nonexistent";
    for (int i = 0; i < 5; ++i) {
      nodes_.push_back(std::make_unique<SimNode>(loop_,
                                                 dms,
                                                 pool_,
                                                 config_,
                                                 "n" + std::to_string(i),
                                                 seed * 100 + static_cast<std::uint64_t>(i) * 2,
                                                 rate));
    }
  }

  Seen play(std::size_t tasks) {
    dms.add(tasks);
    Seen seen;
    std::vector<SteadyTime> healed(nodes_.size());
    while (dms.completed < tasks && ++turns_ < 100'000) {
      for (std::size_t i = 0; i < nodes_.size(); ++i) {
        const auto now = loop_.clock.steady_now();
        if (nodes_[i]->net.cut && now >= healed[i]) nodes_[i]->net.cut = false;
        const auto luck = uniform(rng_, std::uint64_t{0}, std::uint64_t{999});
        if (luck < 12 && !nodes_[i]->net.cut) {
          nodes_[i]->net.cut = true;
          healed[i] = now + uniform(rng_, Millis(200), Millis(25'000));
          ++seen.partitions;
        } else if (luck >= 988) {
          nodes_[i]->crash();
          nodes_[i]->start();
          ++seen.crashes;
        }
      }
      loop_.advance(uniform(rng_, Millis(500), Millis(1500)));
    }
    // Calm at last: whatever is still in a journal is told.
    for (const auto& node : nodes_) node->net.cut = false;
    for (int i = 0; i < 600 && !seen.settled; ++i) {
      loop_.advance(1s);
      seen.settled = std::ranges::all_of(nodes_, [](const auto& node) { return node->idle(); });
    }
    for (const auto& node : nodes_) seen.faults += node->net.faults;
    seen.faults += seen.crashes + seen.partitions;
    seen.lost = dms.lost();
    return seen;
  }

 private:
  pn::testing::TestLoop loop_;
  ThreadPool pool_{"sim", 1};
  pn::testing::FakeRng rng_;
  Config config_;
  std::size_t turns_ = 0;

 public:
  SimDms dms;

 private:
  std::vector<std::unique_ptr<SimNode>> nodes_;
};

void check(std::size_t tasks, std::size_t least_faults, bool lease_ids, double rate) {
  const std::uint64_t seed = Catch::rngSeed() + 1;
  Simulation simulation(seed, lease_ids, rate);
  const Seen seen = simulation.play(tasks);
  const SimDms& dms = simulation.dms;
  std::cout << "sim_100k: seed " << seed << ", " << tasks << " tasks, " << seen.faults
            << " faults (of them " << seen.crashes << " crashes, " << seen.partitions
            << " partitions), " << dms.leases() << " leases, " << dms.expired << " expired, "
            << dms.failed << " failed, " << dms.refused << " receipts refused, " << dms.repeats
            << " repeated; lost " << seen.lost << ", accepted twice " << dms.accepted_twice
            << ", written under a foreign lease " << dms.foreign_writes << "\n";
  CAPTURE(seed);
  CHECK(seen.lost == 0);
  CHECK(seen.settled);
  CHECK(dms.accepted_twice == 0);
  CHECK(dms.foreign_writes == 0);
  CHECK(seen.faults >= least_faults);
  CHECK(seen.crashes > 0);
  CHECK(seen.partitions > 0);
}

}  // namespace

TEST_CASE("sim_100k: five nodes, every fault there is, nothing lost and nothing accepted twice",
          "[node][sim_100k]") {
  check(1'500, 200, true, 0.05);
}

TEST_CASE("sim_100k: the same with a server that names no leases", "[node][sim_100k]") {
  check(700, 90, false, 0.05);
}

// node_tests "sim_100k: a hundred thousand tasks"
TEST_CASE("sim_100k: a hundred thousand tasks", "[.slow][sim_100k]") {
  check(100'000, 10'000, true, 0.03);
}

}  // namespace pn::node
