#pragma once

#include "base/log.hpp"
#include "base/result.hpp"
#include "node/config.hpp"
#include "node/disk_guard.hpp"
#include "storage/input_cache.hpp"

#include <filesystem>
#include <memory>

namespace pn::node {

/// WORK_DIR/cache: on the workspaces' disk, so that an input gets into one without being copied.
std::filesystem::path cache_folder(const Config& config);

/// The cache of CACHE_MAX_GB. Null where that is 0; what another setting left is removed then.
/// Blocks.
Result<std::unique_ptr<storage::InputCache>> open_cache(const Config& config);

/// Room on WORK_DIR's disk: what the cache has of it, it has until work needs it. Any thread; calls
/// block.
class CacheRoom final {
 public:
  struct Parts {
    storage::InputCache& cache;  ///< outlives it
    const Config& config;        ///< outlives it
    log::Logger logger;
    SpaceProbe probe = probe_space;
  };
  explicit CacheRoom(Parts parts) : parts_(std::move(parts)), limits_(disk_limits(parts_.config)) {}

  /// What the file system of `path` has. Where WORK_DIR has too little to lease by, the cache gives
  /// up what is missing first, and some more, so that it need not again in a moment.
  [[nodiscard]] Result<Space> probe(const std::filesystem::path& path) const;

 private:
  const Parts parts_;
  const DiskLimits limits_;
};

}  // namespace pn::node
