#include "node/workspace_quota.hpp"

#include "base/awaitable.hpp"
#include "base/file.hpp"
#include "base/json.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "node/task_run.hpp"
#include "runners/task_context.hpp"
#include "tests/node/node_fixture.hpp"
#include "tests/support/temp_folder.hpp"
#include "tests/support/test_loop.hpp"
#include "tests/support/unwound.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <future>
#include <limits>
#include <string>

#include <boost/asio/post.hpp>
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <sys/stat.h>

namespace pn::node {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using pn::testing::Started;
using pn::testing::TempFolder;
using pn::testing::Unwound;
using runners::TaskContext;
using testing::NodeFixture;

constexpr std::uint64_t kMb = 1024 * 1024;
constexpr std::uint64_t kAll = std::numeric_limits<std::uint64_t>::max();

struct stat file_of(ino_t number, nlink_t names, blkcnt_t blocks) {
  struct stat out{};
  out.st_mode = S_IFREG;
  out.st_ino = number;
  out.st_nlink = names;
  out.st_blocks = blocks;
  return out;
}

std::uint64_t measured(const fs::path& folder) {
  const std::atomic<bool> stop{false};
  return measure_folder(folder, kAll, stop);
}

/// Runs `task` on, in virtual steps, until it is over; what is handed to the pool in one is done in
/// it.
void run_on(NodeFixture& f, const Started& task) {
  for (int step = 0; step < 1000 && !task.done(); ++step) {
    f.loop.advance(500ms);
    std::promise<void> reached;
    asio::post(f.pool.executor(), [&reached] { reached.set_value(); });
    reached.get_future().wait();
    f.loop.poll();
  }
}

}  // namespace

TEST_CASE("quota: room is counted once a file, however many names it has", "[node][quota]") {
  DiskUse use;
  use.add(file_of(1, 2, 8));
  use.add(file_of(1, 2, 8));
  use.add(file_of(2, 1, 8));
  CHECK(use.bytes() == 2 * 8 * 512);
  struct stat folder = file_of(3, 5, 8);
  folder.st_mode = S_IFDIR;
  use.add(folder);
  use.add(folder);
  CHECK(use.bytes() == 4 * 8 * 512);
  struct stat elsewhere = file_of(1, 2, 8);
  elsewhere.st_dev = 7;
  use.add(elsewhere);
  CHECK(use.bytes() == 5 * 8 * 512);
}

TEST_CASE("quota: a folder is measured with all below it, and no more", "[node][quota]") {
  const TempFolder dir;
  const std::string megabyte(kMb, 'x');
  dir.write("work/a/b/c/file", megabyte);
  dir.write("outside", megabyte);
  fs::create_hard_link(dir.path / "work/a/b/c/file", dir.path / "work/same");
  fs::create_symlink(dir.path / "outside", dir.path / "work/link");
  fs::create_symlink(dir.path, dir.path / "work/up");
  const std::uint64_t found = measured(dir.path / "work");
  CHECK(found >= kMb);
  CHECK(found < kMb + kMb / 2);
  // A hard link of what is elsewhere counts, as the cache's inputs do.
  fs::create_hard_link(dir.path / "outside", dir.path / "work/hard");
  CHECK(measured(dir.path / "work") >= 2 * kMb);
  CHECK(measured(dir.path / "missing") == 0);
}

TEST_CASE("quota: a look breaks off when it has seen enough, or nobody wants it", "[node][quota]") {
  const TempFolder dir;
  for (int i = 0; i < 100; ++i) dir.write("work/" + std::to_string(i), std::string(8192, 'x'));
  std::atomic<bool> stop{false};
  const std::uint64_t found = measure_folder(dir.path / "work", 100'000, stop);
  CHECK(found > 100'000);
  CHECK(found < 200'000);
  stop = true;
  CHECK(measure_folder(dir.path / "work", kAll, stop) == 0);
}

TEST_CASE("quota: the longer a look takes, the rarer it is", "[node][quota]") {
  CHECK(pause_after_look(0ms) == 2s);
  CHECK(pause_after_look(200ms) == 2s);
  CHECK(pause_after_look(3s) == 30s);
}

TEST_CASE("quota: a task whose folder grows above it is stopped, and its folder goes",
          "[node][quota]") {
  NodeFixture f;
  f.config.task_max_disk_mb = 1;
  bool unwound = false;
  f.add([&](TaskContext& task) -> Awaitable<Result<void>> {
    const Unwound note{unwound};
    const std::string piece(kMb / 4, 'x');
    for (int i = 0; i < 100; ++i) {
      const Result<void> written = write_file(task.workspace() / std::to_string(i), piece);
      CHECK(written.ok());
      co_await task.clock().sleep_for(3s);
    }
    co_return Result<void>();
  });
  TaskRun task(f.parts(), f.lease());
  const SteadyTime begun = f.loop.clock.steady_now();
  const Started running(f.loop, task.run());
  run_on(f, running);
  REQUIRE(running.done());
  CHECK(unwound);
  REQUIRE(f.dms.count("fail") == 1);
  const Json body = f.dms.of("fail")[0].body;
  CHECK(body["reason"] == "task_disk_full");
  CHECK(body["details"]["error"].get<std::string>().find("TASK_MAX_DISK_MB") != std::string::npos);
  CHECK_FALSE(body["details"].contains("retryable"));  // another node may have the room
  CHECK(f.workspaces() == 0);
  CHECK(f.loop.clock.steady_now() - begun < 100s);
}

TEST_CASE("quota: a task within it is left alone, and so is any without the setting",
          "[node][quota]") {
  NodeFixture f;
  std::size_t kilobytes = 900;
  SECTION("within") { f.config.task_max_disk_mb = 1; }
  SECTION("off") { kilobytes = 4000; }
  f.add([&](TaskContext& task) -> Awaitable<Result<void>> {
    const Result<void> written =
        write_file(task.workspace() / "file", std::string(kilobytes * 1024, 'x'));
    CHECK(written.ok());
    co_await task.clock().sleep_for(20s);
    co_return Result<void>();
  });
  TaskRun task(f.parts(), f.lease());
  const Started running(f.loop, task.run());
  run_on(f, running);
  REQUIRE(running.done());
  CHECK(f.dms.count("complete") == 1);
  CHECK(f.dms.count("fail") == 0);
}

}  // namespace pn::node
