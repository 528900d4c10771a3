#pragma once

#include "base/result.hpp"
#include "storage/archive_names.hpp"

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <vector>

namespace pn::storage {

/// What an archive from outside may cost.
struct ExtractLimits {
  std::uint64_t max_entries = 100'000;
  std::uint64_t max_bytes = std::uint64_t{64} * 1024 * 1024 * 1024;
  /// Unpacked to packed size, looked at past the first 64 MiB: a bomb, not photos.
  std::uint64_t max_ratio = 200;
  std::size_t max_depth = kArchiveDepth;
};

struct Extracted {
  std::vector<std::filesystem::path> files;  ///< in the archive's order, below the folder
  std::uint64_t bytes = 0;
};

/// Unpacks a zip, a tar (plain, gz, xz, zst), or one packed file ("scan.csv.gz" to "scan.csv"; told
/// by its name) into `folder`: regular files and folders only, with plain modes, never outside of
/// it. Anything else (absolute paths, "..", links, devices, two entries of one name, encryption) is
/// an error, and then nothing of it stays. Names are UTF-8, or bytes as they are; one that cannot
/// be read at all becomes "entry-17".
///
/// Kind `rejected` for what the archive asks for, code "archive_*"; `corrupt`, code
/// "archive_damaged", when it cannot be read; `full` when the disk is. Memory is bounded whatever
/// the archive asks for: at most 128 MiB for its dictionary, and the list of what was unpacked.
/// Blocks: offload it. `stop` ends it between two blocks, with code "stopped".
Result<Extracted> extract(const std::filesystem::path& archive,
                          const std::filesystem::path& folder,
                          const ExtractLimits& limits,
                          const std::atomic<bool>& stop);

}  // namespace pn::storage
