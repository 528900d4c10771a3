#include "node/disk_guard.hpp"

#include "base/awaitable.hpp"
#include "base/deadline.hpp"
#include "base/log.hpp"
#include "base/nursery.hpp"
#include "base/offload.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "node/config.hpp"
#include "node/node_status.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <sys/statvfs.h>

namespace pn::node {
namespace {

constexpr std::chrono::seconds kFresh{1};
/// statvfs takes microseconds; one that takes this long is a dead mount or a stalled disk.
constexpr std::chrono::seconds kLongestLook{10};
constexpr std::uint64_t kMegabyte = 1024 * 1024;

/// Rounded up, as df does.
int used_pct(std::uint64_t all, std::uint64_t free) {
  if (all == 0) return 0;
  const std::uint64_t used = all - std::min(free, all);
  return static_cast<int>((used * 100 + all - 1) / all);
}

std::string setting_of(std::string_view folder) {
  return folder == "work" ? "WORK_DIR" : "STATE_DIR";
}

}  // namespace

DiskLimits disk_limits(const Config& config) {
  return {.min_free_mb = config.disk_min_free_mb,
          .max_used_pct = config.disk_max_used_pct,
          .inode_max_used_pct = config.inode_max_used_pct};
}

std::uint64_t missing_bytes(const Space& space, const DiskLimits& limits) {
  const std::uint64_t floor = limits.min_free_mb * kMegabyte;
  const std::uint64_t unfree = floor - std::min(floor, space.free_bytes);
  const std::uint64_t used = space.bytes - std::min(space.free_bytes, space.bytes);
  const std::uint64_t most =
      space.bytes / 100 * static_cast<std::uint64_t>(std::max(limits.max_used_pct, 0));
  return std::max(unfree, used - std::min(used, most));
}

DiskStatus judge(std::string_view folder,
                 const std::filesystem::path& path,
                 const Space& space,
                 const DiskLimits& limits) {
  DiskStatus out;
  out.folder = std::string(folder);
  out.path = path.string();
  out.free_bytes = space.free_bytes;
  out.used_pct = used_pct(space.bytes, space.free_bytes);
  out.inodes_used_pct = used_pct(space.inodes, space.free_inodes);
  const std::string where = setting_of(folder) + " " + out.path;
  const std::string remedy = ": make room there";
  if (space.free_bytes / kMegabyte < limits.min_free_mb) {
    out.fault = where + " has " + std::to_string(space.free_bytes / kMegabyte) +
                " MB free, less than DISK_MIN_FREE_MB=" + std::to_string(limits.min_free_mb) +
                remedy + ", or lower the setting";
  } else if (out.used_pct > limits.max_used_pct) {
    out.fault = where + " is " + std::to_string(out.used_pct) +
                " % full, more than DISK_MAX_USED_PCT=" + std::to_string(limits.max_used_pct) +
                remedy + ", or raise the setting";
  } else if (out.inodes_used_pct > limits.inode_max_used_pct) {
    out.fault = where + " has " + std::to_string(out.inodes_used_pct) +
                " % of its inodes used, more than INODE_MAX_USED_PCT=" +
                std::to_string(limits.inode_max_used_pct) +
                ": remove small files there, or raise the setting";
  }
  return out;
}

Result<Space> probe_space(const std::filesystem::path& path) {
  struct statvfs found{};
  if (::statvfs(path.c_str(), &found) != 0) {
    const std::string why = std::generic_category().message(errno);
    return Error(ErrorKind::internal, "statvfs", path.string() + ": " + why);
  }
  const std::uint64_t block = found.f_frsize;
  // As df: what is kept for root counts neither as free nor as there.
  const std::uint64_t kept = found.f_bfree - found.f_bavail;
  return Space{.bytes = (found.f_blocks - kept) * block,
               .free_bytes = found.f_bavail * block,
               .inodes = found.f_files,
               .free_inodes = found.f_favail};
}

DiskGuard::DiskGuard(Parts parts,
                     DiskLimits limits,
                     std::filesystem::path work,
                     std::filesystem::path state)
    : parts_(std::move(parts)),
      limits_(limits),
      work_(std::move(work)),
      state_(std::move(state)),
      looked_(parts_.control) {}

Awaitable<bool> DiskGuard::has_room(Nursery& owner) {
  if (limits_.unlimited()) co_return true;
  const SteadyTime now = parts_.clock.steady_now();
  const bool fresh = looked_at_ && now - *looked_at_ < kFresh;
  if (!fresh) {
    if (!std::exchange(looking_, true)) owner.spawn("disk", look());
    const Deadline limit = Deadline::in(parts_.clock, kLongestLook);
    while (looking_ && !limit.passed(parts_.clock)) {
      co_await looked_.wait_until(parts_.clock, limit);
    }
    if (looking_) stalled();
    tell();
  }
  co_return has_room_now();
}

bool DiskGuard::has_room_now() const {
  return std::ranges::all_of(disks_, [](const DiskStatus& disk) { return disk.fault.empty(); });
}

Awaitable<void> DiskGuard::look() {
  const SpaceProbe& probe = parts_.probe;
  const std::filesystem::path& work = work_;
  const std::filesystem::path& state = state_;
  const auto both = [&probe, &work, &state] {
    return Look{.work = probe(work), .state = probe(state)};
  };
  struct Done {
    DiskGuard& guard;
    ~Done() {
      guard.looking_ = false;
      guard.looked_.set();
    }
  };
  const Done done{*this};
  const Look found = co_await offload(parts_.io, both);
  take(found);
}

void DiskGuard::take(const Look& look) {
  disks_.clear();
  disks_.push_back(judged("work", work_, look.work));
  disks_.push_back(judged("state", state_, look.state));
  looked_at_ = parts_.clock.steady_now();
  for (const DiskStatus& disk : disks_) {
    parts_.metrics.set_disk_free(disk.folder, disk.free_bytes);
  }
}

DiskStatus DiskGuard::judged(std::string_view folder,
                             const std::filesystem::path& path,
                             const Result<Space>& space) const {
  if (space) return judge(folder, path, *space, limits_);
  DiskStatus out;
  out.folder = std::string(folder);
  out.path = path.string();
  out.fault = setting_of(folder) + " " + out.path +
              " cannot be looked at: see that it is there and mounted (" + space.error().detail +
              ")";
  return out;
}

void DiskGuard::stalled() {
  const auto judge_stalled = [](std::string_view folder, const std::filesystem::path& path) {
    DiskStatus out;
    out.folder = std::string(folder);
    out.path = path.string();
    out.fault = setting_of(folder) + " " + out.path +
                " does not answer: look at the disk or the network it is mounted over";
    return out;
  };
  disks_.clear();
  disks_.push_back(judge_stalled("work", work_));
  disks_.push_back(judge_stalled("state", state_));
}

/// Once when it begins, once when it is over.
void DiskGuard::tell() {
  const bool low = !has_room_now();
  if (low == told_low_) return;
  told_low_ = low;
  if (!low) {
    parts_.logger.info("disk.recovered");
    return;
  }
  for (const DiskStatus& disk : disks_) {
    if (disk.fault.empty()) continue;
    parts_.logger.warn("disk.low",
                       {{"folder", disk.folder},
                        {"free_bytes", disk.free_bytes},
                        {"used_pct", disk.used_pct},
                        {"inodes_used_pct", disk.inodes_used_pct},
                        {"why", disk.fault}});
    return;
  }
}

}  // namespace pn::node
