#include "node/workspace_quota.hpp"

#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/offload.hpp"
#include "base/time.hpp"
#include "node/lease.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include <fts.h>
#include <sys/stat.h>

namespace pn::node {
namespace {

constexpr std::uint64_t kMegabyte = 1024 * 1024;
constexpr std::chrono::milliseconds kLeastPause{2000};
/// A look takes at most this part of the time.
constexpr int kShare = 10;

struct CloseWalk {
  void operator()(FTS* walk) const { ::fts_close(walk); }
};

}  // namespace

void DiskUse::add(const struct stat& found) {
  const bool folder = S_ISDIR(found.st_mode);
  if (!folder && found.st_nlink > 1 && !linked_.emplace(found.st_dev, found.st_ino).second) return;
  constexpr std::uint64_t kBlock = 512;  // of st_blocks, whatever the file system's are
  bytes_ += static_cast<std::uint64_t>(found.st_blocks) * kBlock;
}

std::uint64_t measure_folder(const std::filesystem::path& folder,
                             std::uint64_t enough,
                             const std::atomic<bool>& stop) {
  DiskUse use;
  std::string path = folder.string();
  char* const roots[] = {path.data(), nullptr};
  const std::unique_ptr<FTS, CloseWalk> walk(
      ::fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, nullptr));
  if (!walk) return 0;
  // glibc 2.36's fts_close leaks the root of a walk that nothing was read of: the first read comes
  // before the question.
  while (const FTSENT* const entry = ::fts_read(walk.get())) {
    if (stop || use.bytes() > enough) break;
    // A folder comes once more when all in it has come; what is gone has no facts.
    const int what = entry->fts_info;
    if (what != FTS_DP && what != FTS_NS && what != FTS_DNR && what != FTS_ERR) {
      use.add(*entry->fts_statp);
    }
  }
  return use.bytes();
}

Millis pause_after_look(Millis took) { return std::max<Millis>(kLeastPause, took * kShare); }

WorkspaceQuota::WorkspaceQuota(ThreadPool& io,
                               Clock& clock,
                               std::filesystem::path folder,
                               std::uint64_t max_mb)
    : io_(io), clock_(clock), folder_(std::move(folder)), max_bytes_(max_mb * kMegabyte) {}

Awaitable<void> WorkspaceQuota::watch() {
  const std::filesystem::path& folder = folder_;
  const std::uint64_t enough = max_bytes_;
  const auto look = [&folder, enough](const std::atomic<bool>& stop) {
    return measure_folder(folder, enough, stop);
  };
  while (!exceeded()) {
    const SteadyTime begun = clock_.steady_now();
    found_ = co_await offload_stoppable(io_, look);
    const auto took = std::chrono::duration_cast<Millis>(clock_.steady_now() - begun);
    if (!exceeded()) co_await clock_.sleep_for(pause_after_look(took));
  }
}

Failure WorkspaceQuota::failure() const {
  return {.reason = "task_disk_full",
          .error = "the task's folder grew above " + std::to_string(max_bytes_ / kMegabyte) +
                   " MB (TASK_MAX_DISK_MB)"};
}

}  // namespace pn::node
