#include "bin/folder_space.hpp"

#include "bin/terminal.hpp"
#include "node/config.hpp"

#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <string>
#include <system_error>

#include <sys/statvfs.h>

namespace pn::bin {
namespace {

namespace fs = std::filesystem;

int percent(std::uint64_t part, std::uint64_t all) {
  return all == 0 ? 0 : static_cast<int>((part * 100 + all - 1) / all);
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
  out.used_pct = percent(used, used + disk.f_bavail);
  out.inodes_used_pct = percent(disk.f_files - disk.f_ffree, disk.f_files);
  return out;
}

std::string describe(const FolderSpace& space) {
  if (!space.error.empty()) return "cannot be measured: " + space.error;
  return format_bytes(space.free_bytes) + " free, " + std::to_string(space.used_pct) +
         " % used, inodes " + std::to_string(space.inodes_used_pct) + " %";
}

std::string fault_of(const FolderSpace& space, const node::Config& config) {
  if (!space.error.empty()) return "cannot be measured: " + space.error;
  const std::uint64_t floor = config.disk_min_free_mb * 1024 * 1024;
  if (space.free_bytes < floor) {
    return format_bytes(space.free_bytes) +
           " free, less than DISK_MIN_FREE_MB=" + std::to_string(config.disk_min_free_mb);
  }
  if (space.used_pct > config.disk_max_used_pct) {
    return std::to_string(space.used_pct) +
           " % used, more than DISK_MAX_USED_PCT=" + std::to_string(config.disk_max_used_pct);
  }
  if (space.inodes_used_pct > config.inode_max_used_pct) {
    return std::to_string(space.inodes_used_pct) + " % of the inodes used, more than " +
           "INODE_MAX_USED_PCT=" + std::to_string(config.inode_max_used_pct);
  }
  return "";
}

}  // namespace pn::bin
