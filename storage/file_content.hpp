#pragma once

#include "base/file.hpp"
#include "base/result.hpp"

#include <cstdint>
#include <filesystem>

namespace pn::storage {

// Content of files, by descriptors. All block.

/// Open for reading.
struct RegularFile {
  UniqueFd fd;
  std::uint64_t size = 0;
};
/// Kind `rejected`, code "file_type", where it is anything else than a regular file.
Result<RegularFile> open_regular(const std::filesystem::path& path);

/// Whether files of this folder (open) can share their blocks: Btrfs, XFS, bcachefs.
bool can_clone(int folder);
/// All of `from` becomes the content of `to`, as a reflink: at once, and neither sees what is
/// written to the other. False where the file systems do not do that.
bool clone_content(int from, int to);
/// `size` bytes of `from`, to an empty file or one that is to be overwritten. Kind `corrupt`, code
/// "file_changed", when it has fewer.
Result<void> copy_content(int from, int to, std::uint64_t size);

}  // namespace pn::storage
