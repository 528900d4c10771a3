#pragma once

#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/event.hpp"
#include "base/log.hpp"
#include "base/nursery.hpp"
#include "base/offload.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "node/config.hpp"
#include "node/metrics.hpp"
#include "node/node_status.hpp"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pn::node {

/// What a file system has. `inodes` 0: it does not count them.
struct Space {
  std::uint64_t bytes = 0;
  std::uint64_t free_bytes = 0;  ///< for us: without what is kept for root
  std::uint64_t inodes = 0;
  std::uint64_t free_inodes = 0;
};

struct DiskLimits {
  std::uint64_t min_free_mb = 2048;
  int max_used_pct = 90;
  int inode_max_used_pct = 80;

  [[nodiscard]] bool unlimited() const {
    return min_free_mb == 0 && max_used_pct >= 100 && inode_max_used_pct >= 100;
  }
};

DiskLimits disk_limits(const Config& config);

/// How full, and why that is too full; `fault` stays empty where there is room. Pure.
DiskStatus judge(std::string_view folder,
                 const std::filesystem::path& path,
                 const Space& space,
                 const DiskLimits& limits);

/// How many bytes are to be freed until there is room; 0 where only inodes are short. Pure.
std::uint64_t missing_bytes(const Space& space, const DiskLimits& limits);

/// The seam for tests: what a folder's file system has. Called on a pool's thread.
using SpaceProbe = std::function<Result<Space>(const std::filesystem::path&)>;
/// statvfs(3).
Result<Space> probe_space(const std::filesystem::path& path);

/// Whether there is room to work: looked at before each poll, at most once a second. Thread: the
/// control loop's.
class DiskGuard final {
 public:
  struct Parts {
    Executor control;
    ThreadPool& io;
    Clock& clock;
    Metrics& metrics;
    log::Logger logger;
    SpaceProbe probe = probe_space;
  };
  DiskGuard(Parts parts,
            DiskLimits limits,
            std::filesystem::path work,
            std::filesystem::path state);

  /// Looks, when the last look is a second old, for at most ten seconds: a disk that does not
  /// answer is no room, until it does. `owner` keeps the look, which cannot be cut short. Without
  /// limits to keep it does not look at all.
  Awaitable<bool> has_room(Nursery& owner);

  /// As last seen.
  [[nodiscard]] const std::vector<DiskStatus>& disks() const { return disks_; }
  [[nodiscard]] bool has_room_now() const;

 private:
  struct Look {
    Result<Space> work;
    Result<Space> state;
  };
  Awaitable<void> look();
  void take(const Look& look);
  void stalled();
  void tell();
  [[nodiscard]] DiskStatus judged(std::string_view folder,
                                  const std::filesystem::path& path,
                                  const Result<Space>& space) const;

  const Parts parts_;
  const DiskLimits limits_;
  const std::filesystem::path work_;
  const std::filesystem::path state_;

  std::vector<DiskStatus> disks_;
  std::optional<SteadyTime> looked_at_;
  bool looking_ = false;
  bool told_low_ = false;
  Event looked_;
};

}  // namespace pn::node
