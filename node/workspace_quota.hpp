#pragma once

#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/offload.hpp"
#include "base/time.hpp"
#include "node/lease.hpp"

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <set>
#include <utility>

#include <sys/stat.h>

namespace pn::node {

/// Room on the disk, each file once however many names it has there. Pure.
class DiskUse final {
 public:
  void add(const struct stat& found);
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

 private:
  std::uint64_t bytes_ = 0;
  std::set<std::pair<dev_t, ino_t>> linked_;  ///< those of several names
};

/// What `folder` holds with all below it, on its own file system; a hard link counts like a file.
/// Breaks off above `enough`, and when `stop` is set. What comes and goes meanwhile counts or does
/// not; a folder that is not there holds nothing. Blocks.
std::uint64_t measure_folder(const std::filesystem::path& folder,
                             std::uint64_t enough,
                             const std::atomic<bool>& stop);

/// The pause after a look: the more there is to look at, the less often. Pure.
Millis pause_after_look(Millis took);

/// TASK_MAX_DISK_MB: watches a workspace while its runner runs. What a program has open and has
/// unlinked is not seen. Thread: the control loop's; the looks are on `io`.
class WorkspaceQuota final {
 public:
  /// `io` and `clock` outlive it. `max_mb` 0: no limit.
  WorkspaceQuota(ThreadPool& io, Clock& clock, std::filesystem::path folder, std::uint64_t max_mb);

  [[nodiscard]] bool limited() const { return max_bytes_ > 0; }
  /// Returns when the folder is larger than that. Cancellation ends a look within a moment.
  Awaitable<void> watch();
  [[nodiscard]] bool exceeded() const { return limited() && found_ > max_bytes_; }
  /// "task_disk_full"; another node may have more room.
  [[nodiscard]] Failure failure() const;

 private:
  ThreadPool& io_;
  Clock& clock_;
  const std::filesystem::path folder_;
  const std::uint64_t max_bytes_;
  std::uint64_t found_ = 0;
};

}  // namespace pn::node
