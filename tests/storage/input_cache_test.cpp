#include "storage/input_cache.hpp"

#include "base/digest.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "tests/storage/cache_fixture.hpp"
#include "tests/support/temp_folder.hpp"

#include <cstddef>
#include <cstdint>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include <catch2/catch.hpp>
#include <fcntl.h>
#include <sys/stat.h>

namespace pn::storage {
namespace {

namespace fs = std::filesystem;
using pn::testing::TempFolder;
using testing::CacheFixture;
using testing::content_of;
using testing::item;
using testing::look_at;
using testing::stored_in;

/// The one entry of a cache's folder.
fs::path only_entry(const fs::path& folder) {
  fs::path out;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().filename() != "lock") out = entry.path();
  }
  return out;
}

void make_writable(const fs::path& path) { fs::permissions(path, fs::perms::owner_all); }

}  // namespace

TEST_CASE("cache: what was kept is taken again, whole and read-only", "[storage][cache]") {
  CacheFixture f(10'000);
  const ItemVersion version = item(1);
  const fs::path kept = f.fetched(version);
  REQUIRE(f.cache->keep(version, kept).ok());
  CHECK(TempFolder::read(kept) == content_of(version));
  CHECK((look_at(kept).st_mode & 0777U) == 0444);
  CHECK(f.cache->bytes() == 1000);
  const fs::path path = f.fresh();
  const Result<bool> taken = f.cache->take(version, path);
  REQUIRE(taken.ok());
  CHECK(*taken);
  CHECK(TempFolder::read(path) == content_of(version));
  CHECK((look_at(path).st_mode & 0777U) == 0444);
  // Not once more on the disk.
  CHECK(look_at(path).st_ino == look_at(kept).st_ino);
  f.reopen();
  CHECK(f.has(version));
  const InputCache::Stats stats = f.cache->stats();
  CHECK(stats.hits == 1);
  CHECK(stats.misses == 0);
  CHECK(stats.entries == 1);
  CHECK(stats.bytes == 1000);
  CHECK(stats.max_bytes == 10'000);
}

TEST_CASE("cache: every part of a version counts, wherever one ends", "[storage][cache]") {
  CacheFixture f(10'000);
  const ItemVersion version{.server = "https://a.example",
                            .domain = DomainId("d1"),
                            .id = DataId("i1"),
                            .updated_at = "2026-01-01",
                            .size = 100};
  REQUIRE(f.keep(version).ok());
  ItemVersion other = version;
  SECTION("server") { other.server = "https://b.example"; }
  SECTION("domain") { other.domain = DomainId("d2"); }
  SECTION("id") { other.id = DataId("i2"); }
  SECTION("time") { other.updated_at = "2026-01-02"; }
  SECTION("size") { other.size = 101; }
  SECTION("what ends one begins the next") {
    other.domain = DomainId("d");
    other.id = DataId("1i1");
  }
  SECTION("a line in a text is no new field") {
    other.domain = DomainId("d1\n2:i1");
    other.id = DataId("");
  }
  const fs::path path = f.fresh();
  const Result<bool> taken = f.cache->take(other, path);
  REQUIRE(taken.ok());
  CHECK_FALSE(*taken);
  CHECK_FALSE(fs::exists(path));
  CHECK(f.cache->stats().misses == 1);
  CHECK(f.has(version));
}

TEST_CASE("cache: the least recently used goes first, also after a restart", "[storage][cache]") {
  CacheFixture f(3000);
  for (int i = 1; i <= 3; ++i) REQUIRE(f.keep(item(i)).ok());
  CHECK(f.has(item(1)));
  SECTION("at once") {}
  SECTION("after a restart") { f.reopen(); }
  REQUIRE(f.keep(item(4)).ok());
  CHECK_FALSE(f.has(item(2)));
  CHECK(f.has(item(1)));
  CHECK(f.has(item(3)));
  CHECK(f.has(item(4)));
  CHECK(f.cache->stats().evicted_bytes == 1000);
}

TEST_CASE("cache: a smaller quota holds from the start, and none keeps nothing",
          "[storage][cache]") {
  CacheFixture f(5000);
  for (int i = 1; i <= 5; ++i) REQUIRE(f.keep(item(i)).ok());
  f.cache.reset();
  const auto smaller = InputCache::open({.folder = f.folder, .max_bytes = 2500});
  REQUIRE(smaller.ok());
  CHECK((*smaller)->bytes() == 2000);
  CHECK(stored_in(f.folder) == 2000);
  CHECK(*(*smaller)->take(item(5), f.fresh()));
  const auto none = InputCache::open({.folder = f.folder, .max_bytes = 0});
  REQUIRE(none.ok());
  CHECK(stored_in(f.folder) == 0);
  REQUIRE((*none)->keep(item(9, 0), f.fetched(item(9, 0))).ok());
  CHECK_FALSE(*(*none)->take(item(9, 0), f.fresh()));
}

TEST_CASE("cache: the quota is never passed", "[storage][cache]") {
  const unsigned seed = std::random_device()();
  INFO("seed " << seed);
  std::mt19937 random(seed);
  CacheFixture f(20'000);
  for (int i = 0; i < 500; ++i) {
    const int number = static_cast<int>(random() % 20);
    const ItemVersion version = item(number, static_cast<std::uint64_t>(number) * 1100);
    if (random() % 2 == 0) {
      REQUIRE(f.keep(version).ok());
      CHECK(f.has(version) == (version.size <= f.max));
    } else {
      const fs::path path = f.fresh();
      if (*f.cache->take(version, path)) CHECK(TempFolder::read(path) == content_of(version));
    }
    REQUIRE(stored_in(f.folder) <= f.max);
    REQUIRE(f.cache->bytes() == stored_in(f.folder));
  }
}

TEST_CASE("cache: an entry that somebody wrote to is not used again", "[storage][cache]") {
  CacheFixture f(10'000);
  const ItemVersion version = item(1);
  const fs::path workspace = f.fetched(version);
  REQUIRE(f.cache->keep(version, workspace).ok());
  const fs::path entry = only_entry(f.folder);
  bool gone = true;
  SECTION("by its link in a workspace, the size as before") {
    make_writable(workspace);
    std::fstream(workspace, std::ios::in | std::ios::out).write("X", 1);
  }
  SECTION("cut") {
    make_writable(workspace);
    fs::resize_file(workspace, 10);
  }
  SECTION("another file in its place") {
    fs::remove(entry);
    std::ofstream(entry) << content_of(version);
  }
  SECTION("a link in its place") {
    fs::remove(entry);
    fs::create_symlink(workspace, entry);
    gone = false;  // not read, and removed when somebody takes stock
  }
  SECTION("while the node was away") {
    make_writable(workspace);
    std::fstream(workspace, std::ios::in | std::ios::out).write("X", 1);
    f.reopen();
    CHECK(f.cache->bytes() == 0);
  }
  const fs::path path = f.fresh();
  const Result<bool> taken = f.cache->take(version, path);
  REQUIRE(taken.ok());
  CHECK_FALSE(*taken);
  CHECK_FALSE(fs::exists(path));
  if (gone) {
    CHECK_FALSE(fs::exists(entry));
    CHECK(f.cache->bytes() == 0);
  }
  // And it is kept anew.
  REQUIRE(f.keep(version).ok());
  CHECK(f.has(version));
}

TEST_CASE("cache: what is made writable and not written to is read-only again",
          "[storage][cache]") {
  CacheFixture f(10'000);
  const fs::path workspace = f.fetched(item(1));
  REQUIRE(f.cache->keep(item(1), workspace).ok());
  make_writable(workspace);
  const fs::path path = f.fresh();
  CHECK(*f.cache->take(item(1), path));
  CHECK((look_at(path).st_mode & 0777U) == 0444);
}

TEST_CASE("cache: what a workspace has of it survives it", "[storage][cache]") {
  CacheFixture f(1500);
  REQUIRE(f.keep(item(1)).ok());
  const fs::path path = f.fresh();
  REQUIRE(*f.cache->take(item(1), path));
  REQUIRE(f.keep(item(2)).ok());
  CHECK_FALSE(f.has(item(1)));
  CHECK(TempFolder::read(path) == content_of(item(1)));
}

TEST_CASE("cache: for a disk that is needed, what is in no workspace goes, the oldest first",
          "[storage][cache][gc]") {
  CacheFixture f(10'000);
  const fs::path in_use = f.fetched(item(1));
  REQUIRE(f.cache->keep(item(1), in_use).ok());
  for (int i = 2; i <= 4; ++i) REQUIRE(f.keep_alone(item(i)).ok());
  CHECK(f.has(item(2)));
  CHECK(f.cache->shrink(0) == 0);
  CHECK(f.cache->shrink(1001) == 2000);
  CHECK_FALSE(f.has(item(3)));
  CHECK_FALSE(f.has(item(4)));
  CHECK(f.has(item(2)));
  // Its room would not come back.
  CHECK(f.cache->shrink(1'000'000) == 1000);
  CHECK(f.has(item(1)));
  fs::remove(in_use);
  CHECK(f.cache->shrink(1'000'000) == 1000);
  CHECK(f.cache->bytes() == 0);
  CHECK(f.cache->stats().evicted_bytes == 4000);
}

TEST_CASE("cache: a file that is not what it should be is not kept", "[storage][cache]") {
  CacheFixture f(10'000);
  SECTION("another size") {
    const Result<void> kept = f.cache->keep(item(1, 999), f.fetched(item(1, 1000)));
    REQUIRE_FALSE(kept.ok());
    CHECK(kept.error().kind == ErrorKind::corrupt);
    CHECK(kept.error().code == "file_changed");
  }
  SECTION("missing") {
    CHECK(f.cache->keep(item(1), f.fresh()).error().kind == ErrorKind::not_found);
  }
  SECTION("a link") {
    const fs::path link = f.fresh();
    fs::create_symlink(f.fetched(item(1)), link);
    CHECK_FALSE(f.cache->keep(item(1), link).ok());
  }
  CHECK(f.cache->bytes() == 0);
  CHECK(stored_in(f.folder) == 0);
}

TEST_CASE("cache: a place that cannot be filled is an error, and left as it is",
          "[storage][cache]") {
  CacheFixture f(10'000);
  REQUIRE(f.keep(item(1)).ok());
  const Result<bool> nowhere = f.cache->take(item(1), f.dir.path / "none/file");
  REQUIRE_FALSE(nowhere.ok());
  CHECK(nowhere.error().kind == ErrorKind::not_found);
  const fs::path taken = f.dir.write("taken", "mine");
  CHECK_FALSE(f.cache->take(item(1), taken).ok());
  CHECK(TempFolder::read(taken) == "mine");
  CHECK(f.has(item(1)));
}

TEST_CASE("cache: the format of its folder", "[storage][cache]") {
  CacheFixture f(10'000);
  const ItemVersion version{.server = "https://data.example/",
                            .domain = DomainId("d-1"),
                            .id = DataId("i-1"),
                            .updated_at = "2026-11-28T10:00:00Z",
                            .size = 5,
                            .sha256 = "ab"};
  REQUIRE(f.keep(version).ok());
  const fs::path entry = only_entry(f.folder);
  const std::string name = entry.filename().string();
  CHECK(name == sha256_hex("posenode input 2\n21:https://data.example/\n3:d-1\n3:i-1\n"
                           "20:2026-11-28T10:00:00Z\n1:5\n2:ab"));
  CHECK(look_at(entry).st_mtim.tv_sec == 946'684'800 + std::stol(name.substr(0, 7), nullptr, 16));
  CHECK(look_at(entry).st_mtim.tv_nsec == 0);
  CHECK(look_at(f.folder).st_mode % 01000 == 0700);
  // What is neither is somebody's, and stays.
  f.dir.write("cache/notes", "mine");
  f.reopen();
  CHECK(fs::exists(f.folder / "notes"));
  CHECK(f.cache->bytes() == 5);
}

TEST_CASE("cache: ten thousand entries are opened in a moment", "[storage][cache]") {
  CacheFixture f(10'000'000);
  f.cache.reset();
  for (int i = 0; i < 10'000; ++i) {
    const std::string name = sha256_hex(std::to_string(i));
    const fs::path path = f.folder / name;
    std::ofstream(path) << name;
    const timespec times[2] = {
        {.tv_sec = 1'700'000'000 + i, .tv_nsec = 0},
        {.tv_sec = 946'684'800 + std::stol(name.substr(0, 7), nullptr, 16), .tv_nsec = 0}};
    REQUIRE(::utimensat(AT_FDCWD, path.c_str(), times, 0) == 0);
  }
  // Of the processor's time: a busy machine is no fault of ours.
  const std::clock_t begun = std::clock();
  f.reopen();
  const double took = static_cast<double>(std::clock() - begun) / CLOCKS_PER_SEC;
  CHECK(f.cache->bytes() == 640'000);
  CHECK(f.cache->stats().entries == 10'000);
  CHECK(took < 0.9);
  CHECK(f.cache->shrink(640) == 640);
  CHECK_FALSE(fs::exists(f.folder / sha256_hex("9")));
  CHECK(fs::exists(f.folder / sha256_hex("10")));
}

}  // namespace pn::storage
