#include "storage/cache_entry.hpp"

#include "base/digest.hpp"
#include "base/file.hpp"
#include "base/result.hpp"
#include "storage/cache_index.hpp"
#include "storage/input_cache.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

namespace pn::storage {
namespace {

/// Whoever writes to a file changes its mtime: so what it must be needs no record elsewhere. Whole
/// seconds, which every file system keeps.
time_t mark_of(std::string_view name) {
  constexpr time_t kYear2000 = 946'684'800;
  std::uint32_t seconds = 0;
  const std::string_view digits = name.substr(0, 7);
  std::from_chars(digits.data(), digits.data() + digits.size(), seconds, 16);
  return kYear2000 + static_cast<time_t>(seconds);
}

}  // namespace

std::string entry_name(const ItemVersion& version) {
  const std::string size = std::to_string(version.size);
  std::string text = "posenode input 2";
  // Each field behind its length: no two versions make one text.
  for (const std::string_view field : {std::string_view(version.server),
                                       std::string_view(version.domain.str()),
                                       std::string_view(version.id.str()),
                                       std::string_view(version.updated_at),
                                       std::string_view(size),
                                       std::string_view(version.sha256)}) {
    text += "\n" + std::to_string(field.size()) + ":";
    text += field;
  }
  return sha256_hex(text);
}

bool is_entry_name(std::string_view name) {
  return name.size() == 64 && name.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

bool is_untouched(const struct stat& found, std::string_view name) {
  return S_ISREG(found.st_mode) && found.st_mtim.tv_sec == mark_of(name) &&
         found.st_mtim.tv_nsec == 0;
}

Result<void> seal(int file, std::string_view name) {
  const timespec times[2] = {{.tv_sec = 0, .tv_nsec = UTIME_NOW},
                             {.tv_sec = mark_of(name), .tv_nsec = 0}};
  struct stat found{};
  // fdatasync: what is lost of mode and times with the power is an entry that nobody uses.
  if (::fchmod(file, 0444) != 0 || ::futimens(file, times) != 0 || ::fdatasync(file) != 0 ||
      ::fstat(file, &found) != 0) {
    return from_errno(errno, "cannot make a cached input read-only");
  }
  if (is_untouched(found, name)) return {};
  return Error(ErrorKind::internal, "file_times", "the cache's file system keeps no file times");
}

std::uint64_t size_of(const struct stat& found) {
  return static_cast<std::uint64_t>(found.st_size);
}

CacheIndex::UsedAt used_at(const struct stat& found) {
  constexpr std::int64_t kLatest = 9'000'000'000;  // a runner may have set any time
  const std::int64_t secs = std::clamp<std::int64_t>(found.st_atim.tv_sec, 0, kLatest);
  return std::chrono::seconds(secs) + std::chrono::nanoseconds(found.st_atim.tv_nsec);
}

timespec to_timespec(CacheIndex::UsedAt time) {
  const auto secs = std::chrono::duration_cast<std::chrono::seconds>(time);
  return {.tv_sec = secs.count(), .tv_nsec = (time - secs).count()};
}

}  // namespace pn::storage
