#include "base/file.hpp"
#include "base/result.hpp"
#include "storage/input_cache.hpp"
#include "tests/storage/cache_fixture.hpp"
#include "tests/support/in_child.hpp"
#include "tests/support/small_disk.hpp"
#include "tests/support/temp_folder.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

// A cache that several have, and a cache that is on another disk than those who use it.

namespace pn::storage {
namespace {

namespace fs = std::filesystem;
using pn::testing::TempFolder;
using testing::CacheFixture;
using testing::content_of;
using testing::item;
using testing::look_at;
using testing::quick_disk;
using testing::stored_in;

constexpr std::uint64_t kQuota = 20'000;

/// Many uses of a cache; the number of those that went wrong.
int use(InputCache& cache, const fs::path& work, unsigned seed, int count) {
  std::mt19937 random(seed);
  int wrong = 0;
  for (int i = 0; i < count; ++i) {
    const int number = static_cast<int>(random() % 10);
    const ItemVersion version = item(number, static_cast<std::uint64_t>(number) * 900 + 10);
    const fs::path path = work / (std::to_string(seed) + "-" + std::to_string(i));
    if (random() % 2 == 0) {
      const Result<bool> taken = cache.take(version, path);
      wrong += taken.ok() ? 0 : 1;
      if (taken.ok() && *taken) wrong += TempFolder::read(path) == content_of(version) ? 0 : 1;
    } else {
      wrong += write_file(path, content_of(version)).ok() ? 0 : 1;
      wrong += cache.keep(version, path).ok() ? 0 : 1;
    }
    if (random() % 20 == 0) cache.shrink(1000);
    fs::remove(path);
  }
  return wrong;
}

/// A disk other than the one of temporary files; empty where there is none.
fs::path other_disk() {
  const fs::path quick = quick_disk();
  return look_at(quick).st_dev == look_at(fs::temp_directory_path()).st_dev ? fs::path() : quick;
}

}  // namespace

TEST_CASE("cache: shared by threads", "[storage][cache][mt]") {
  const unsigned seed = std::random_device()();
  INFO("seed " << seed);
  CacheFixture f(kQuota);
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < 4; ++i) {
    threads.emplace_back(
        [&f, &wrong, i, seed] { wrong += use(*f.cache, f.dir.path / "work", seed + i, 150); });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
  CHECK(stored_in(f.folder) <= kQuota);
  CHECK(f.cache->bytes() == stored_in(f.folder));
}

TEST_CASE("cache: shared by processes, which keep one quota", "[storage][cache]") {
  const unsigned seed = std::random_device()();
  INFO("seed " << seed);
  CacheFixture f(kQuota);
  const fs::path work = f.dir.path / "work";
  const pid_t child = ::fork();
  if (child == 0) {
    const auto cache = InputCache::open({.folder = f.folder, .max_bytes = kQuota});
    ::_exit(cache.ok() && use(**cache, work, seed, 200) == 0 ? 0 : 1);
  }
  int status = 0;
  bool running = true;
  for (unsigned i = 1; running; ++i) {
    CHECK(use(*f.cache, work, seed + i, 5) == 0);
    REQUIRE(stored_in(f.folder) <= kQuota);
    running = ::waitpid(child, &status, WNOHANG) == 0;
  }
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}

TEST_CASE("cache: what another process did is seen, and its uses count", "[storage][cache]") {
  CacheFixture f(3000);
  const auto other = InputCache::open({.folder = f.folder, .max_bytes = 3000});
  REQUIRE(other.ok());
  for (int i = 1; i <= 3; ++i) REQUIRE(f.keep(item(i)).ok());
  CHECK(*(*other)->take(item(1), f.fresh()));
  REQUIRE(f.keep(item(4)).ok());
  CHECK(f.has(item(1)));
  CHECK_FALSE(f.has(item(2)));
  // This one's room counts there.
  REQUIRE((*other)->keep(item(5), f.fetched(item(5))).ok());
  CHECK(stored_in(f.folder) == 3000);
  CHECK((*other)->bytes() == 3000);
}

TEST_CASE("cache: what a live process adds is left to it, and counts; what a dead one began goes",
          "[storage][cache]") {
  CacheFixture f(10'000);
  const fs::path begun = f.dir.write("cache/new-1-1", std::string(6000, 'x'));
  f.dir.write("cache/new-1-2", std::string(100, 'x'));
  const UniqueFd held(::open(begun.c_str(), O_RDONLY | O_CLOEXEC));
  REQUIRE(::flock(held.get(), LOCK_SH) == 0);
  f.reopen();
  CHECK(fs::exists(begun));
  CHECK_FALSE(fs::exists(f.folder / "new-1-2"));
  CHECK(f.cache->bytes() == 6000);
  REQUIRE(f.keep(item(2, 4000)).ok());
  CHECK(f.has(item(2, 4000)));
  REQUIRE(f.keep(item(1, 5000)).ok());
  CHECK_FALSE(f.has(item(1, 5000)));  // no room, and none is made that is not enough
  CHECK(f.has(item(2, 4000)));
}

TEST_CASE("cache: a process that was stopped with the lock keeps nobody for long",
          "[storage][cache]") {
  CacheFixture f(10'000);
  REQUIRE(f.keep(item(1)).ok());
  UniqueFd stopped(::open((f.folder / "lock").c_str(), O_RDWR | O_CLOEXEC));
  REQUIRE(::flock(stopped.get(), LOCK_EX) == 0);
  const fs::path download = f.fetched(item(2));
  const Result<void> kept = f.cache->keep(item(2), download);
  REQUIRE_FALSE(kept.ok());
  CHECK_THAT(kept.error().detail, Catch::Contains("cannot lock " + f.folder.string()));
  CHECK(TempFolder::read(download) == content_of(item(2)));
  CHECK(f.has(item(1)));
  // Whoever comes next does not wait for it again.
  const auto begun = std::chrono::steady_clock::now();
  CHECK(f.cache->shrink(1000) == 0);
  CHECK_FALSE(f.keep(item(3)).ok());
  CHECK(std::chrono::steady_clock::now() - begun < std::chrono::seconds(1));
  CHECK_FALSE(InputCache::open({.folder = f.folder, .max_bytes = f.max}).ok());
  stopped.reset();
  CHECK(f.keep(item(2)).ok());
  CHECK(f.has(item(2)));
  CHECK(f.cache->bytes() == 2000);
  CHECK(stored_in(f.folder) == 2000);
}

TEST_CASE("cache: on another disk it keeps and gives copies", "[storage][cache]") {
  const fs::path disk = other_disk();
  if (disk.empty()) {
    WARN("skipped: this machine has one disk alone");
    return;
  }
  const TempFolder work;
  CacheFixture f(10'000, disk);
  const fs::path download = work.write("download", content_of(item(1)));
  REQUIRE(f.cache->keep(item(1), download).ok());
  CHECK((look_at(download).st_mode & 0777U) == 0444);
  CHECK(f.cache->bytes() == 1000);
  const fs::path path = work.path / "input";
  CHECK(*f.cache->take(item(1), path));
  CHECK(TempFolder::read(path) == content_of(item(1)));
  CHECK((look_at(path).st_mode & 0777U) == 0444);
  CHECK(look_at(path).st_nlink == 1);
  f.reopen();
  CHECK(f.has(item(1)));
}

TEST_CASE("cache: a disk that is full is an error of that kind, and nothing is left",
          "[storage][cache]") {
  const TempFolder work;
  const TempFolder disk;
  const fs::path download = work.write("download", content_of(item(1, 2'000'000)));
  const int wrong = pn::testing::in_child([&] {
    if (!pn::testing::mount_small_disk(disk.path, "1m")) return pn::testing::kNotHere;
    const auto cache = InputCache::open({.folder = disk.path / "cache", .max_bytes = 10'000'000});
    if (!cache.ok()) return 2;
    const Result<void> kept = (*cache)->keep(item(1, 2'000'000), download);
    if (kept.ok() || kept.error().kind != ErrorKind::full) return 3;
    if ((*cache)->bytes() != 0 || stored_in(disk.path / "cache") != 0) return 4;
    const fs::path fits = work.write("small", content_of(item(2, 500'000)));
    if (!(*cache)->keep(item(2, 500'000), fits).ok()) return 5;
    // On the same disk it is a link, which needs no room.
    const Result<bool> taken = (*cache)->take(item(2, 500'000), disk.path / "input");
    if (!taken.ok() || !*taken) return 6;
    return TempFolder::read(disk.path / "input") == content_of(item(2, 500'000)) ? 0 : 7;
  });
  if (wrong == pn::testing::kNotHere) {
    WARN("skipped: this machine does not let a user mount a tmpfs");
    return;
  }
  CHECK(wrong == 0);
}

}  // namespace pn::storage
