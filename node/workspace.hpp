#pragma once

#include "base/file.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "base/rng.hpp"
#include "base/time.hpp"

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <stdexcept>
#include <utility>

namespace pn::node {

/// Thrown by Workspace::open(), whose callers (runners) have no Result to look at; caught where a
/// runner's end is, and made the task's failure there.
class WorkspaceFailure final : public std::runtime_error {
 public:
  explicit WorkspaceFailure(Error why) : std::runtime_error(why.detail), error(std::move(why)) {}
  const Error error;
};

/// The folder of one attempt: "task-<id>-<random>" under WORK_DIR, mode 0700. It is made when first
/// asked for, because many tasks need none. While the object lives the folder is locked, so that no
/// collector (of another node with the same WORK_DIR) takes it for a leftover.
///
/// One thread at a time; open() and remove() block.
class Workspace final {
 public:
  Workspace(const std::filesystem::path& work_dir, const TaskId& task, Rng& rng);
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;

  /// Makes it where there is none. Throws WorkspaceFailure.
  const std::filesystem::path& open();
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] bool exists() const { return static_cast<bool>(lock_); }
  /// With all that is in it.
  Result<void> remove();

 private:
  std::filesystem::path path_;
  UniqueFd lock_;
};

/// Removes what attempts left in `work_dir` longer than `keep` ago, and answers how many. Touches
/// nothing that is not named like a workspace, or is in use. Blocks.
std::size_t remove_stale_workspaces(const std::filesystem::path& work_dir,
                                    std::chrono::hours keep,
                                    SystemTime now);

}  // namespace pn::node
