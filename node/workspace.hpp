#pragma once

#include "base/file.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "base/rng.hpp"
#include "base/time.hpp"
#include "node/disk_guard.hpp"

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
/// collector (of another node with the same WORK_DIR, too) takes it for a leftover. What a person
/// may want to look at is renamed to "failed-<id>-<random>": so every other one that nobody holds
/// is a dead process's, and goes at once. Between a folder's making and its lock WORK_DIR itself is
/// locked (flock, shared); a collector that looks at a folder wants that lock alone.
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
  /// With all that is in it, whatever modes that has.
  Result<void> remove();
  /// For a person: it stays, under its new name, until it is too old.
  Result<void> keep();

 private:
  std::filesystem::path path_;
  UniqueFd lock_;
};

/// What collect_workspaces() goes by.
struct CollectRules {
  std::chrono::hours keep{24};  ///< what failed
  /// Where the node would not lease by these, what failed goes too, the oldest first.
  DiskLimits limits{.min_free_mb = 0, .max_used_pct = 100, .inode_max_used_pct = 100};
  SpaceProbe probe = probe_space;
};

struct Collected {
  std::size_t dead = 0;     ///< of processes that died
  std::size_t old = 0;      ///< failed, and kept long enough
  std::size_t crowded = 0;  ///< failed, and the disk is needed
};

/// Removes what attempts left in `work_dir`. Touches nothing that is not named like a workspace, or
/// is in use. Blocks.
Collected collect_workspaces(const std::filesystem::path& work_dir,
                             const CollectRules& rules,
                             SystemTime now);

}  // namespace pn::node
