#pragma once

#include "node/config.hpp"

#include <cstdint>
#include <filesystem>
#include <string>

namespace pn::bin {

/// How full the disk of a folder is, as `run --check` and `doctor` show it.
struct FolderSpace {
  std::string setting;  ///< "WORK_DIR"
  std::filesystem::path path;
  std::uint64_t free_bytes = 0;
  int used_pct = 0;
  int inodes_used_pct = 0;
  std::string error;  ///< why it could not be measured; empty: it was
};

/// The folder itself, or of its parents the nearest that exists.
std::filesystem::path nearest_folder(const std::filesystem::path& folder);

/// Of the disk where `path` is, or will be made. Blocks.
FolderSpace folder_space(const std::string& setting, const std::filesystem::path& path);

/// "12.0 GiB free, 40 % used, 3 % of the inodes".
std::string describe(const FolderSpace& space);

/// Why a node with these floors leases nothing; empty: it does.
std::string fault_of(const FolderSpace& space, const node::Config& config);

}  // namespace pn::bin
