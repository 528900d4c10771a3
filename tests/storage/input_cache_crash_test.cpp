#include "base/result.hpp"
#include "storage/input_cache.hpp"
#include "tests/storage/cache_fixture.hpp"
#include "tests/support/killed_child.hpp"
#include "tests/support/temp_folder.hpp"

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <utility>

#include <catch2/catch.hpp>
#include <unistd.h>

// A process that dies with a cache in its hands: at every system call of an addition, and at any of
// a longer life.

namespace pn::storage {
namespace {

namespace fs = std::filesystem;
using pn::testing::Killed;
using pn::testing::run_until_call;
using pn::testing::TempFolder;
using testing::CacheFixture;
using testing::content_of;
using testing::item;
using testing::quick_disk;
using testing::stored_in;

constexpr std::uint64_t kQuota = 50'000;

ItemVersion some_item(std::mt19937& random) {
  const int number = static_cast<int>(random() % 12);
  return item(number, static_cast<std::uint64_t>(number) * 1500 + 1);
}

/// Some uses of the cache, by a process of its own. 0, or what went wrong.
int live(const fs::path& folder, const fs::path& work, unsigned seed) {
  std::mt19937 random(seed);
  const auto cache = InputCache::open({.folder = folder, .max_bytes = kQuota});
  if (!cache.ok()) return 2;
  for (int i = 0; i < 12; ++i) {
    const ItemVersion version = some_item(random);
    const fs::path path = work / ("use-" + std::to_string(i));  // not one of fresh()
    const auto what = static_cast<unsigned>(random() % 8);
    if (what == 0) (*cache)->shrink(2000);
    if (what < 4) {
      const Result<bool> taken = (*cache)->take(version, path);
      if (!taken.ok()) return 3;
      if (*taken && TempFolder::read(path) != content_of(version)) return 4;
    } else {
      std::ofstream(path) << content_of(version);
      if (!(*cache)->keep(version, path).ok()) return 6;
    }
    ::unlink(path.c_str());
  }
  return 0;
}

/// Nothing wrong comes out of what is left there, and it is in its quota, also before anybody looks
/// after it.
void check_left(CacheFixture& f) {
  REQUIRE(stored_in(f.folder) <= kQuota);
  f.reopen();
  CHECK(stored_in(f.folder) <= kQuota);
  CHECK(f.cache->bytes() == stored_in(f.folder));
  for (const auto& entry : fs::directory_iterator(f.folder)) {
    CHECK_FALSE(entry.path().filename().string().starts_with("new-"));
  }
  for (int number = 0; number < 12; ++number) {
    const ItemVersion version = item(number, static_cast<std::uint64_t>(number) * 1500 + 1);
    const fs::path path = f.fresh();
    const Result<bool> taken = f.cache->take(version, path);
    REQUIRE(taken.ok());
    if (*taken) CHECK(TempFolder::read(path) == content_of(version));
    fs::remove(path);
  }
  f.cache.reset();
}

}  // namespace

TEST_CASE("cache: a process that dies at any moment of an addition leaves a cache that is right",
          "[storage][cache]") {
  // A download on the cache's disk is linked to, one on another is copied.
  const fs::path source = GENERATE(fs::temp_directory_path(), quick_disk());
  const TempFolder downloads("pn-cache-", source);
  const ItemVersion old = item(1, 40'000);
  const ItemVersion version = item(2, 30'000);
  CacheFixture f(kQuota);
  bool finished = false;
  int kept = 0;
  for (int last = 1; !finished; ++last) {
    INFO("dies at call " << last);
    fs::remove_all(f.folder);
    f.reopen();
    REQUIRE(f.keep_alone(old).ok());
    f.cache.reset();
    const fs::path path = downloads.path / "download";
    std::ofstream(path) << content_of(version);
    const Killed end = run_until_call(last, [&] {
      const auto cache = InputCache::open({.folder = f.folder, .max_bytes = kQuota});
      return cache.ok() && (*cache)->keep(version, path).ok() ? 0 : 1;
    });
    if (!end.possible) {
      WARN("skipped: this machine lets nobody trace a process");
      return;
    }
    finished = end.finished;
    if (finished) CHECK(end.code == 0);
    REQUIRE(stored_in(f.folder) <= kQuota);
    f.reopen();
    const bool has_old = f.has(old);
    const bool has_new = f.has(version);
    CHECK_FALSE((has_old && has_new));
    CHECK(f.cache->bytes() == (has_old ? old.size : has_new ? version.size : 0));
    CHECK(f.cache->bytes() == stored_in(f.folder));
    kept += has_new ? 1 : 0;
    f.cache.reset();
    fs::remove(path);
  }
  CHECK(kept > 0);
}

TEST_CASE("cache: killed again and again it never gives a wrong byte, nor passes its quota",
          "[storage][cache]") {
  const unsigned seed = std::random_device()();
  INFO("seed " << seed);
  std::mt19937 random(seed);
  const bool same_disk = GENERATE(true, false);
  CacheFixture f(kQuota);
  f.cache.reset();
  const TempFolder elsewhere;
  const fs::path work = same_disk ? f.dir.path / "work" : elsewhere.path;
  for (int round = 0; round < 40; ++round) {
    INFO("round " << round);
    const auto uses = static_cast<unsigned>(random());
    const int last = 1 + static_cast<int>(random() % 400);
    const Killed end = run_until_call(last, [&] { return live(f.folder, work, uses); });
    if (!end.possible) {
      WARN("skipped: this machine lets nobody trace a process");
      return;
    }
    if (end.finished) CHECK(end.code == 0);
    if (fs::exists(f.folder)) check_left(f);
    fs::remove_all(work);
    fs::create_directory(work);
  }
}

}  // namespace pn::storage
