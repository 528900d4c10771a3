#pragma once

#include "base/result.hpp"

#include <atomic>
#include <filesystem>
#include <string>
#include <vector>

namespace pn::storage {

enum class ArchiveFormat {
  zip_stored,  ///< for what is packed already: photos, COLMAP's models
  zip,         ///< deflated
  tar,
  tar_gz,
  tar_xz,
  tar_zst,
  gz,  ///< these three: one file, without a name
  xz,
  zst,
};

struct ArchiveEntry {
  std::string name;  ///< "images.bin", "a/b.txt"; UTF-8
  std::filesystem::path file;
};

/// Packs regular files into a new archive at `path`, in the order given: whole or not at all (a
/// temporary beside it, fsync, rename). The same names and contents make the same bytes, wherever
/// and whenever: no times, no owners, mode 0644. Folders are not written; unpacking makes them.
///
/// Kind `rejected`, code "archive_*", for a name that extract() would refuse, for two entries of
/// one name, and for another number of entries than one where the format has no names; `not_found`
/// for a missing file; `corrupt`, code "file_changed", for one that became shorter; `full`. Memory
/// is constant but for the names (xz: 32 MiB). Blocks: offload it. `stop` ends it between two
/// blocks, with code "stopped".
Result<void> write_archive(const std::filesystem::path& path,
                           ArchiveFormat format,
                           const std::vector<ArchiveEntry>& entries,
                           const std::atomic<bool>& stop);

}  // namespace pn::storage
