#pragma once

#include "node/config.hpp"

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace pn::bin {

/// How full the disk of a folder is, as `run --check` and `doctor` show it.
struct FolderSpace {
  std::string setting;  ///< "WORK_DIR"
  std::filesystem::path path;
  std::uint64_t free_bytes = 0;
  std::uint64_t used_bytes = 0;
  /// Of the input cache, which gives way before work is refused; on the disk of WORK_DIR.
  std::uint64_t cache_bytes = 0;
  int used_pct = 0;
  int inodes_used_pct = 0;
  std::string error;  ///< why it could not be measured; empty: it was
};

/// The folder itself, or of its parents the nearest that exists.
std::filesystem::path nearest_folder(const std::filesystem::path& folder);

/// Of the disk where `path` is, or will be made. Blocks.
FolderSpace folder_space(const std::string& setting, const std::filesystem::path& path);

/// Of STATE_DIR and of WORK_DIR. Blocks.
std::vector<FolderSpace> node_folders(const std::filesystem::path& state_dir,
                                      const std::filesystem::path& work_dir,
                                      const std::filesystem::path& cache);

/// "12.0 GiB free, 40 % used (2.0 GiB by cached inputs), inodes 3 %".
std::string describe(const FolderSpace& space);

/// Why a node with these floors leases nothing; empty: it does.
std::string fault_of(const FolderSpace& space, const node::Config& config);

}  // namespace pn::bin
