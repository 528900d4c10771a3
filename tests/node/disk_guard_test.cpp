#include "node/disk_guard.hpp"

#include "base/awaitable.hpp"
#include "base/result.hpp"
#include "node/node_status.hpp"
#include "runners/task_context.hpp"
#include "tests/node/engine_fixture.hpp"
#include "tests/node/node_fixture.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <future>
#include <mutex>
#include <string>

#include <boost/asio/post.hpp>
#include <catch2/catch.hpp>

namespace pn::node {
namespace {

using namespace std::chrono_literals;
using runners::TaskContext;
using testing::EngineFixture;
using testing::succeed;

constexpr std::uint64_t kMb = 1024 * 1024;
const std::filesystem::path kPath = "/data/work";
const DiskLimits kLimits{.min_free_mb = 64, .max_used_pct = 90, .inode_max_used_pct = 80};

Space roomy() {
  return {.bytes = 256 * kMb, .free_bytes = 200 * kMb, .inodes = 1000, .free_inodes = 900};
}

/// An engine whose disk says what the test says; all is done on virtual time but the looks, which
/// are on a pool's thread.
struct DiskFixture : EngineFixture {
  std::atomic<std::uint64_t> free_mb{200};
  std::atomic<int> looks{0};
  std::mutex stalled;  ///< held: the disk does not answer
  bool hanging = false;

  DiskFixture() {
    config.disk_min_free_mb = 64;
    config.state_dir = dir.path;
    space = [this](const std::filesystem::path&) -> Result<Space> {
      const std::lock_guard turn(stalled);
      ++looks;
      Space out = roomy();
      out.free_bytes = free_mb * kMb;
      return out;
    };
    add(succeed);
  }

  /// Virtual seconds, with the looks that fall due in them.
  void seconds(int count) {
    for (int i = 0; i < count; ++i) {
      loop.advance(1s);
      settle();
    }
  }
  /// What has been handed to the pool is done, and taken back.
  void settle() {
    loop.poll();
    if (hanging) return;
    for (int i = 0; i < 4; ++i) {
      std::promise<void> reached;
      asio::post(pool.executor(), [&reached] { reached.set_value(); });
      reached.get_future().wait();
      loop.poll();
    }
  }
};

}  // namespace

TEST_CASE("disk_guard: bytes, per cent and inodes each have a floor, and say so",
          "[node][disk_guard]") {
  Space space = roomy();
  CHECK(judge("work", kPath, space, kLimits).fault.empty());

  space.free_bytes = 64 * kMb - 1;
  CHECK(judge("work", kPath, space, kLimits).fault.find("DISK_MIN_FREE_MB=64") !=
        std::string::npos);
  space.bytes = 10'000 * kMb;
  space.free_bytes = 999 * kMb;
  CHECK(judge("work", kPath, space, kLimits).fault.find("DISK_MAX_USED_PCT=90") !=
        std::string::npos);
  space.free_bytes = 1000 * kMb;
  CHECK(judge("work", kPath, space, kLimits).fault.empty());
  space.free_inodes = 199;
  const DiskStatus inodes = judge("state", kPath, space, kLimits);
  CHECK(inodes.fault.find("INODE_MAX_USED_PCT=80") != std::string::npos);
  CHECK(inodes.fault.find("STATE_DIR /data/work") != std::string::npos);
  CHECK(inodes.inodes_used_pct == 81);
  space.inodes = 0;
  space.free_inodes = 0;
  CHECK(judge("work", kPath, space, kLimits).fault.empty());
}

TEST_CASE("disk_guard: a real folder is measured, a missing one is a fault", "[node][disk_guard]") {
  const pn::testing::TempFolder dir;
  const Result<Space> there = probe_space(dir.path);
  REQUIRE(there.ok());
  CHECK(there->bytes > 0);
  CHECK(there->free_bytes <= there->bytes);
  CHECK(there->free_inodes <= there->inodes);
  CHECK_FALSE(probe_space(dir.path / "missing").ok());
}

TEST_CASE("disk_guard: below the floor nothing is leased, above it again at once",
          "[node][disk_guard]") {
  DiskFixture f;
  f.free_mb = 63;
  for (int i = 0; i < 5; ++i) f.offer("t" + std::to_string(i));
  f.start();
  f.settle();
  f.seconds(120);
  CHECK(f.polls() == 0);
  REQUIRE(f.engine->disks().size() == 2);
  CHECK_FALSE(f.engine->disks()[0].fault.empty());
  REQUIRE_FALSE(f.engine->reasons().empty());
  CHECK(f.engine->reasons()[0].find("63 MB free") != std::string::npos);
  std::size_t told = 0;
  for (const std::string& line : f.log_lines) {
    if (line.find("disk.low") != std::string::npos) ++told;
  }
  CHECK(told == 1);

  f.free_mb = 64;
  f.seconds(4);
  CHECK(f.dms.count("complete") == 5);
  CHECK(f.engine->disks()[0].fault.empty());
  CHECK(f.logged("disk.recovered"));
}

TEST_CASE("disk_guard: a disk that fills while tasks run stops the next lease",
          "[node][disk_guard]") {
  DiskFixture f;
  f.config.max_concurrency = 2;
  f.add([&](TaskContext& task) -> Awaitable<Result<void>> {
    f.free_mb = 1;
    co_await task.clock().sleep_for(5s);
    co_return Result<void>();
  });
  f.offer("t1");
  f.start();
  f.settle();
  f.offer("t2");
  f.seconds(60);
  CHECK(f.dms.count("complete") == 1);
  CHECK(f.dms.claims.size() == 1);
}

TEST_CASE("disk_guard: it looks once a second at most, however fast tasks go",
          "[node][disk_guard]") {
  DiskFixture f;
  for (int i = 0; i < 50; ++i) f.offer("t" + std::to_string(i));
  f.start();
  f.settle();
  CHECK(f.dms.count("complete") == 50);
  CHECK(f.looks == 2);  // two folders
}

TEST_CASE("disk_guard: a disk that does not answer is no room, and the loop keeps turning",
          "[node][disk_guard]") {
  DiskFixture f;
  std::unique_lock stall(f.stalled);
  f.hanging = true;
  f.offer("t1");
  f.start();
  f.settle();
  f.seconds(60);
  CHECK(f.polls() == 0);
  CHECK(f.engine->next_turn_by() > f.loop.clock.steady_now());
  REQUIRE_FALSE(f.engine->reasons().empty());
  CHECK(f.engine->reasons()[0].find("does not answer") != std::string::npos);
  stall.unlock();
  f.hanging = false;
  f.settle();
  f.seconds(4);
  CHECK(f.dms.count("complete") == 1);
}

}  // namespace pn::node
