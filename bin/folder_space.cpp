#include "bin/folder_space.hpp"

#include "bin/terminal.hpp"
#include "node/config.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include <sys/stat.h>
#include <sys/statvfs.h>

namespace pn::bin {
namespace {

namespace fs = std::filesystem;

int percent(std::uint64_t part, std::uint64_t all) {
  return all == 0 ? 0 : static_cast<int>((part * 100 + all - 1) / all);
}

/// What would come back if the cache went: not what workspaces have links to.
std::uint64_t cached_bytes(const fs::path& cache) {
  constexpr std::uint64_t kBlock = 512;
  std::uint64_t out = 0;
  std::error_code failed;
  fs::directory_iterator at(cache, failed);
  for (; !failed && at != fs::directory_iterator(); at.increment(failed)) {
    struct stat found{};
    if (::lstat(at->path().c_str(), &found) != 0 || found.st_nlink > 1) continue;
    out += static_cast<std::uint64_t>(found.st_blocks) * kBlock;
  }
  return out;
}

bool on_one_disk(const fs::path& one, const fs::path& other) {
  struct stat first{};
  struct stat second{};
  return ::stat(nearest_folder(one).c_str(), &first) == 0 &&
         ::stat(nearest_folder(other).c_str(), &second) == 0 && first.st_dev == second.st_dev;
}

}  // namespace

fs::path nearest_folder(const fs::path& folder) {
  std::error_code ignored;
  fs::path at = fs::absolute(folder, ignored);
  while (!fs::exists(at, ignored) && at.has_relative_path()) at = at.parent_path();
  return at;
}

FolderSpace folder_space(const std::string& setting, const fs::path& path) {
  FolderSpace out;
  out.setting = setting;
  out.path = path;
  struct statvfs disk{};
  if (::statvfs(nearest_folder(path).c_str(), &disk) != 0) {
    out.error = std::error_code(errno, std::generic_category()).message();
    return out;
  }
  out.free_bytes = std::uint64_t{disk.f_bavail} * disk.f_frsize;
  // As df counts: what is reserved for root is not to be had.
  const std::uint64_t used = disk.f_blocks - disk.f_bfree;
  out.used_bytes = used * disk.f_frsize;
  out.used_pct = percent(used, used + disk.f_bavail);
  out.inodes_used_pct = percent(disk.f_files - disk.f_ffree, disk.f_files);
  return out;
}

std::vector<FolderSpace> node_folders(const fs::path& state_dir,
                                      const fs::path& work_dir,
                                      const fs::path& cache) {
  std::vector<FolderSpace> out{folder_space("STATE_DIR", state_dir),
                               folder_space("WORK_DIR", work_dir)};
  const std::uint64_t cached = cached_bytes(cache);
  for (FolderSpace& space : out) {
    if (on_one_disk(space.path, work_dir)) space.cache_bytes = cached;
  }
  return out;
}

std::string describe(const FolderSpace& space) {
  if (!space.error.empty()) return "cannot be measured: " + space.error;
  const std::string cached =
      space.cache_bytes > 0 ? " (" + format_bytes(space.cache_bytes) + " by cached inputs)" : "";
  return format_bytes(space.free_bytes) + " free, " + std::to_string(space.used_pct) + " % used" +
         cached + ", inodes " + std::to_string(space.inodes_used_pct) + " %";
}

std::string fault_of(const FolderSpace& space, const node::Config& config) {
  if (!space.error.empty()) return "cannot be measured: " + space.error;
  const std::uint64_t floor = config.disk_min_free_mb * 1024 * 1024;
  const std::uint64_t free = space.free_bytes + space.cache_bytes;
  if (free < floor) {
    return format_bytes(free) +
           " free, less than DISK_MIN_FREE_MB=" + std::to_string(config.disk_min_free_mb);
  }
  const std::uint64_t used = space.used_bytes - std::min(space.used_bytes, space.cache_bytes);
  const int used_pct = percent(used, space.used_bytes + space.free_bytes);
  if (used_pct > config.disk_max_used_pct) {
    return std::to_string(used_pct) +
           " % used, more than DISK_MAX_USED_PCT=" + std::to_string(config.disk_max_used_pct);
  }
  if (space.inodes_used_pct > config.inode_max_used_pct) {
    return std::to_string(space.inodes_used_pct) + " % of the inodes used, more than " +
           "INODE_MAX_USED_PCT=" + std::to_string(config.inode_max_used_pct);
  }
  return "";
}

}  // namespace pn::bin
