#pragma once

#include "base/file.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "storage/input_cache.hpp"
#include "tests/support/temp_folder.hpp"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace pn::storage::testing {

/// The nth item of a domain, of that size.
inline ItemVersion item(int number, std::uint64_t size = 1000) {
  return {.server = "https://data.example",
          .domain = DomainId("d1"),
          .id = DataId("item-" + std::to_string(number)),
          .updated_at = "2026-11-28T10:00:00Z",
          .size = size};
}

/// What that version holds: no two items hold the same.
inline std::string content_of(const ItemVersion& version) {
  std::string out;
  while (out.size() < version.size)
    out += version.id.str() + "@" + std::to_string(out.size()) + ";";
  out.resize(version.size);
  return out;
}

/// A memory disk where there is one: a test of a thousand files need not wait for a real one.
inline std::filesystem::path quick_disk() {
  const std::filesystem::path memory = "/dev/shm";
  return ::access(memory.c_str(), W_OK) == 0 ? memory : std::filesystem::temp_directory_path();
}

inline struct stat look_at(const std::filesystem::path& path) {
  struct stat out{};
  if (::lstat(path.c_str(), &out) != 0) out = {};
  return out;
}

/// All files of a cache's folder together, but for its lock; under that lock, so that no process is
/// in the middle of a change.
inline std::uint64_t stored_in(const std::filesystem::path& folder) {
  const UniqueFd lock(::open((folder / "lock").c_str(), O_RDONLY | O_CLOEXEC));
  if (lock) ::flock(lock.get(), LOCK_EX);
  std::uint64_t out = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().filename() != "lock") out += entry.file_size();
  }
  return out;
}

/// A cache below `cache`, and workspaces below `work`.
struct CacheFixture {
  explicit CacheFixture(std::uint64_t max_bytes, const std::filesystem::path& disk = quick_disk())
      : dir("pn-cache-", disk), folder(dir.path / "cache"), max(max_bytes) {
    std::filesystem::create_directory(dir.path / "work");
    reopen();
  }

  void reopen() {
    cache.reset();
    Result<std::unique_ptr<InputCache>> opened =
        InputCache::open({.folder = folder, .max_bytes = max});
    if (!opened.ok()) throw std::runtime_error(opened.error().detail);
    cache = *std::move(opened);
  }
  std::filesystem::path fresh() { return dir.path / "work" / std::to_string(++files); }
  /// A download of that version.
  std::filesystem::path fetched(const ItemVersion& version) {
    const std::filesystem::path path = fresh();
    if (!write_file(path, content_of(version)).ok()) throw std::runtime_error("no room for a test");
    return path;
  }
  Result<void> keep(const ItemVersion& version) { return cache->keep(version, fetched(version)); }
  /// As keep(), by a workspace that is gone by now.
  Result<void> keep_alone(const ItemVersion& version) {
    const std::filesystem::path path = fetched(version);
    Result<void> kept = cache->keep(version, path);
    std::filesystem::remove(path);
    return kept;
  }
  /// It is there, and right.
  bool has(const ItemVersion& version) {
    const std::filesystem::path path = fresh();
    const Result<bool> taken = cache->take(version, path);
    const bool right =
        taken.ok() && *taken && pn::testing::TempFolder::read(path) == content_of(version);
    std::filesystem::remove(path);
    return right;
  }

  const pn::testing::TempFolder dir;
  const std::filesystem::path folder;
  const std::uint64_t max;
  int files = 0;
  std::unique_ptr<InputCache> cache;
};

}  // namespace pn::storage::testing
