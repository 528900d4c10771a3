#include "node/node_cache.hpp"

#include "base/log.hpp"
#include "base/result.hpp"
#include "node/config.hpp"
#include "node/disk_guard.hpp"
#include "storage/input_cache.hpp"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <system_error>

namespace pn::node {

namespace {

/// Of one look. What a removal frees is known afterwards: blocks may be shared with a workspace,
/// and a file system may take its time.
constexpr int kMostSteps = 4;
/// Of the cache, a step.
constexpr std::uint64_t kLeastShare = 16;

}  // namespace

std::filesystem::path cache_folder(const Config& config) { return config.work_dir / "cache"; }

Result<std::unique_ptr<storage::InputCache>> open_cache(const Config& config) {
  std::unique_ptr<storage::InputCache> none;
  const std::filesystem::path folder = cache_folder(config);
  std::error_code failed;
  const bool wanted = config.cache_max_gb > 0;
  if (!wanted && !std::filesystem::exists(folder, failed)) return none;
  Result<std::unique_ptr<storage::InputCache>> cache =
      storage::InputCache::open({.folder = folder, .max_bytes = config.cache_max_gb << 30U});
  if (!cache) return within("the input cache", std::move(cache).error());
  if (!wanted) return none;
  return cache;
}

Result<Space> CacheRoom::probe(const std::filesystem::path& path) const {
  Result<Space> found = parts_.probe(path);
  std::uint64_t freed = 0;
  for (int step = 0; step < kMostSteps && path == parts_.config.work_dir && found; ++step) {
    if (judge("work", path, *found, limits_).fault.empty()) break;
    const std::uint64_t share = parts_.cache.bytes() / kLeastShare + 1;
    const std::uint64_t now = parts_.cache.shrink(missing_bytes(*found, limits_) + share);
    if (now == 0) break;
    freed += now;
    found = parts_.probe(path);
  }
  if (freed > 0) {
    parts_.logger.info("cache.shrunk",
                       {{"freed_bytes", freed}, {"left_bytes", parts_.cache.bytes()}});
  }
  return found;
}

}  // namespace pn::node
