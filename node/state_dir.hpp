#pragma once

#include "base/file.hpp"
#include "base/result.hpp"

#include <filesystem>
#include <optional>
#include <utility>

namespace pn::node {

/// STATE_DIR, ours alone while the object lives: one node each.
class StateDir final {
 public:
  /// Makes the folder (mode 0700 where it is missing) and locks it. Kind `rejected`, code
  /// "state_locked", when another node holds it; else what the file system said. Blocks.
  static Result<StateDir> open(const std::filesystem::path& path);

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  StateDir(std::filesystem::path path, UniqueFd lock)
      : path_(std::move(path)), lock_(std::move(lock)) {}

  std::filesystem::path path_;
  UniqueFd lock_;
};

/// Whether a node holds this STATE_DIR; nothing: that cannot be told. Looks for a moment and
/// shared: two who ask do not disturb each other. Blocks.
std::optional<bool> is_locked(const std::filesystem::path& state_dir);

}  // namespace pn::node
