#pragma once

#include "base/result.hpp"

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace pn::storage {

/// What an archive from outside may cost.
struct ExtractLimits {
  std::uint64_t max_entries = 100'000;
  std::uint64_t max_bytes = std::uint64_t{64} * 1024 * 1024 * 1024;
  /// Unpacked to packed size, looked at past the first 64 MiB: a bomb, not photos.
  std::uint64_t max_ratio = 200;
  std::size_t max_depth = 16;
};

struct Extracted {
  std::vector<std::filesystem::path> files;  ///< in the archive's order, below the folder
  std::uint64_t bytes = 0;
};

/// Unpacks a zip or a tar (plain, gz, xz, zst) into `folder`: regular files and folders only, with
/// plain modes, never outside of it. Anything else (absolute paths, "..", links, devices, two
/// entries of one name, encryption) is an error, and then nothing of it stays. Kind `rejected` for
/// what the archive asks for, code "archive_*"; `corrupt`, code "archive_damaged", when it cannot
/// be read; `full` when the disk is. Names are UTF-8, or bytes as they are; one that cannot be read
/// at all becomes "entry-17". Blocks: offload it. `stop` ends it between two blocks, with
/// code "stopped".
Result<Extracted> extract(const std::filesystem::path& archive,
                          const std::filesystem::path& folder,
                          const ExtractLimits& limits,
                          const std::atomic<bool>& stop);

struct ZipEntry {
  std::string name;  ///< "images.bin", "a/b.txt"
  std::filesystem::path file;
};

/// A zip whose entries are stored, not deflated, in the order given; appears whole or not at all.
/// The same entries make the same bytes: it carries no times of its own. Blocks; constant memory.
Result<void> write_stored_zip(const std::filesystem::path& path,
                              const std::vector<ZipEntry>& entries,
                              const std::atomic<bool>& stop);

/// A failure of libarchive: its errno-like number and its sentence. The one mapping of it.
Error from_archive(int error_number, std::string_view said, std::string_view what);

}  // namespace pn::storage
