#include "node/node_cache.hpp"

#include "base/ids.hpp"
#include "base/log.hpp"
#include "base/offload.hpp"
#include "base/result.hpp"
#include "node/config.hpp"
#include "node/disk_guard.hpp"
#include "node/housekeeping.hpp"
#include "node/workspace.hpp"
#include "storage/input_cache.hpp"
#include "tests/node/node_world.hpp"
#include "tests/support/fake_rng.hpp"
#include "tests/support/test_loop.hpp"

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <catch2/catch.hpp>

namespace pn::node {
namespace {

namespace fs = std::filesystem;
using pn::testing::FakeRng;
using pn::testing::Started;
using pn::testing::TestLoop;

constexpr std::uint64_t kMb = 1024 * 1024;

storage::ItemVersion item(int number) {
  return {.server = "https://data.example",
          .domain = DomainId("d1"),
          .id = DataId(std::to_string(number)),
          .updated_at = "2026-11-28T10:00:00Z",
          .size = kMb};
}

/// A cache of ten inputs of 1 MiB, and a disk that has free what the test says and what the cache
/// gave up.
struct Crowd {
  Crowd() {
    config.state_dir = dir.path / "state";
    config.work_dir = dir.path / "work";
    config.disk_min_free_mb = 100;
    config.disk_max_used_pct = 100;
    fs::create_directories(config.work_dir);
  }
  void fill() {
    for (int i = 0; i < 10; ++i) {
      const fs::path path = dir.write("download", std::string(kMb, 'x'));
      if (!cache->keep(item(i), path).ok()) throw std::runtime_error("not kept");
    }
    fs::remove(dir.path / "download");
  }
  Result<Space> look(const fs::path&) {
    ++looks;
    return Space{.bytes = 1000 * kMb,
                 .free_bytes = free_mb * kMb + (10 * kMb - cache->bytes()),
                 .inodes = 0,
                 .free_inodes = 0};
  }
  CacheRoom room() {
    return CacheRoom({.cache = *cache,
                      .config = config,
                      .logger = logger,
                      .probe = [this](const fs::path& path) { return look(path); }});
  }

  TempFolder dir;
  Config config;
  std::vector<std::string> lines;
  log::Logger logger{log::Options{.level = log::Level::debug, .format = log::Format::text},
                     [this](log::Level, std::string_view line) { lines.emplace_back(line); }};
  storage::InputCache* cache = nullptr;
  std::uint64_t free_mb = 200;
  int looks = 0;
};

}  // namespace

TEST_CASE("cache: CACHE_MAX_GB=0 is none, and empties what was there", "[node][cache]") {
  const TempFolder dir;
  Config config;
  config.work_dir = dir.path;
  config.cache_max_gb = 0;
  CHECK(*open_cache(config) == nullptr);
  CHECK(dir.listing().empty());
  config.cache_max_gb = 1;
  auto cache = open_cache(config);
  REQUIRE(cache.ok());
  REQUIRE(*cache != nullptr);
  CHECK((*cache)->stats().max_bytes == std::uint64_t{1} << 30U);
  REQUIRE((*cache)->keep(item(1), dir.write("download", std::string(kMb, 'x'))).ok());
  cache->reset();
  config.cache_max_gb = 0;
  CHECK(*open_cache(config) == nullptr);
  CHECK(dir.listing() == std::vector<std::string>{"cache", "cache/lock", "download"});
}

TEST_CASE("cache: how much is missing, by each floor", "[node][cache][disk_guard]") {
  const DiskLimits limits{.min_free_mb = 100, .max_used_pct = 90, .inode_max_used_pct = 80};
  CHECK(missing_bytes({.bytes = 500 * kMb, .free_bytes = 100 * kMb}, limits) == 0);
  CHECK(missing_bytes({.bytes = 500 * kMb, .free_bytes = 60 * kMb}, limits) == 40 * kMb);
  CHECK(missing_bytes({.bytes = 2000 * kMb, .free_bytes = 150 * kMb}, limits) == 50 * kMb);
  CHECK(missing_bytes({.bytes = 500 * kMb, .free_bytes = 200 * kMb, .inodes = 9}, limits) == 0);
  CHECK(missing_bytes({}, limits) == 100 * kMb);
}

TEST_CASE("cache: it gives way before a disk is too full to lease by",
          "[node][cache][disk_guard]") {
  Crowd f;
  const auto cache = open_cache(f.config);
  REQUIRE(cache.ok());
  f.cache = cache->get();
  f.fill();
  const CacheRoom room = f.room();
  SECTION("there is room") {
    CHECK(room.probe(f.config.work_dir)->free_bytes == 200 * kMb);
    CHECK(f.cache->bytes() == 10 * kMb);
    CHECK(f.looks == 1);
    CHECK(f.lines.empty());
  }
  SECTION("some is missing: that goes, and a little more") {
    f.free_mb = 97;
    CHECK(room.probe(f.config.work_dir)->free_bytes == 101 * kMb);
    CHECK(f.cache->bytes() == 6 * kMb);
    REQUIRE(f.lines.size() == 1);
    CHECK(f.lines[0].find("cache.shrunk") != std::string::npos);
    CHECK(f.lines[0].find("freed_bytes=4194304") != std::string::npos);
    // And is not at it again for the next few bytes.
    CHECK(room.probe(f.config.work_dir)->free_bytes == 101 * kMb);
    CHECK(f.lines.size() == 1);
  }
  SECTION("all of it does not help: all of it goes, and the disk is told as it is") {
    f.free_mb = 10;
    CHECK(room.probe(f.config.work_dir)->free_bytes == 20 * kMb);
    CHECK(f.cache->bytes() == 0);
  }
  SECTION("another folder is none of its business") {
    f.free_mb = 10;
    CHECK(room.probe(f.config.state_dir)->free_bytes == 10 * kMb);
    CHECK(f.cache->bytes() == 10 * kMb);
  }
}

TEST_CASE(
    "gc: the cache gives way to work, and neither it nor the workspaces are collected as the "
    "other",
    "[node][gc][cache]") {
  Crowd f;
  const Result<OpenedState> state = open_state(f.config, f.logger);
  REQUIRE(state.ok());
  REQUIRE(state->cache != nullptr);
  f.cache = state->cache.get();
  f.fill();
  FakeRng rng;
  Workspace busy(f.config.work_dir, TaskId("busy"), rng);
  const fs::path input = busy.open() / "input";
  REQUIRE(*f.cache->take(item(7), input));
  f.free_mb = 10;
  TestLoop loop;
  ThreadPool io("io", 1);
  const CacheRoom room = f.room();
  {
    Housekeeping housekeeping({.io = io,
                               .clock = loop.clock,
                               .config = f.config,
                               .database = *state->database,
                               .uploads = *state->uploads,
                               .cache = &room,
                               .logger = f.logger});
    Started running(loop, housekeeping.run());
    const auto turn = [&](int looks) {
      const auto end = std::chrono::steady_clock::now() + 5s;
      while (f.looks < looks && std::chrono::steady_clock::now() < end) {
        loop.advance(1s);
        loop.context.restart();
        loop.context.run_one_for(1ms);
      }
    };
    turn(2);
    // What a workspace has a link to would bring nothing.
    CHECK(f.cache->bytes() == kMb);
    CHECK(fs::exists(input));
    // Long before the next collection.
    REQUIRE(busy.remove().ok());
    turn(10);
    CHECK(f.cache->bytes() == 0);
    CHECK(fs::exists(cache_folder(f.config)));
    running.cancel();
    loop.run_until([&] { return running.done(); }, 5s);
  }
}

TEST_CASE("cache: a node without a usable one works, and says so", "[node][e2e][mt][cache]") {
  World world;
  world.add(succeed);
  world.dir.write("work/cache", "a file in the way");
  world.market.offer("t1");
  world.start();
  REQUIRE(world.turn([&] { return world.market.of("/complete").size() == 1; }));
  CHECK(world.logged("cache.unavailable"));
}

}  // namespace pn::node
