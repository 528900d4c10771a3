#include "node/housekeeping.hpp"

#include "base/awaitable.hpp"
#include "base/file.hpp"
#include "base/log.hpp"
#include "base/offload.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "node/config.hpp"
#include "node/journal.hpp"
#include "node/node_cache.hpp"
#include "node/state_db.hpp"
#include "node/state_dir.hpp"
#include "node/upload_log.hpp"
#include "node/workspace.hpp"
#include "storage/input_cache.hpp"

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace pn::node {
namespace {

constexpr std::chrono::minutes kEvery{10};
constexpr std::chrono::seconds kRoomEvery{20};
constexpr std::chrono::hours kUploadsKept{7 * 24};

CollectRules rules(const Config& config) {
  return {
      .keep = config.workspace_keep_failed, .limits = disk_limits(config), .probe = probe_space};
}

}  // namespace

Result<OpenedState> open_state(const Config& config, const log::Logger& logger) {
  Result<StateDir> dir = StateDir::open(config.state_dir);
  if (!dir) return std::move(dir).error();
  const Result<void> made = make_folders(config.work_dir, 0700);
  if (!made) return within("WORK_DIR", made.error());
  Result<std::unique_ptr<StateDb>> database = StateDb::open(dir->path() / "state.db");
  if (!database) return within("STATE_DIR", std::move(database).error());
  Result<std::vector<JournalRow>> rows = (*database)->load();
  if (!rows) return within("STATE_DIR", std::move(rows).error());
  const Result<std::size_t> closed = (*database)->close_open_attempts();
  if (!closed) return within("STATE_DIR", closed.error());
  auto uploads = std::make_unique<UploadLog>(dir->path() / "state.db", logger);
  OpenedState out{.dir = *std::move(dir),
                  .database = *std::move(database),
                  .uploads = std::move(uploads),
                  .rows = *std::move(rows),
                  .cache = nullptr,
                  .cache_fault = std::nullopt};
  Result<std::unique_ptr<storage::InputCache>> cache = open_cache(config);
  if (cache) {
    out.cache = *std::move(cache);
  } else {
    out.cache_fault = std::move(cache).error();
  }
  return out;
}

Awaitable<void> Housekeeping::run() {
  for (;;) {
    co_await make_room();
    co_await once();
    const SteadyTime next = parts_.clock.steady_now() + kEvery;
    while (parts_.cache != nullptr && parts_.clock.steady_now() + kRoomEvery < next) {
      co_await parts_.clock.sleep_for(kRoomEvery);
      co_await make_room();
    }
    co_await parts_.clock.sleep_until(next);
  }
}

Awaitable<void> Housekeeping::make_room() {
  if (parts_.cache == nullptr) co_return;
  const CacheRoom& cache = *parts_.cache;
  const std::filesystem::path& work_dir = parts_.config.work_dir;
  const auto look = [&cache, &work_dir] { static_cast<void>(cache.probe(work_dir)); };
  co_await offload(parts_.io, look);
}

Awaitable<void> Housekeeping::once() {
  const Config& config = parts_.config;
  const SystemTime now = parts_.clock.system_now();
  const auto collect = [&config, now] {
    return collect_workspaces(config.work_dir, rules(config), now);
  };
  const Collected removed = co_await offload(parts_.io, collect);
  if (removed.dead + removed.old + removed.crowded > 0) {
    parts_.logger.info(
        "workspace.collected",
        {{"dead", removed.dead}, {"old", removed.old}, {"crowded", removed.crowded}});
  }
  UploadLog& uploads = parts_.uploads;
  const auto expire = [&uploads, now] { uploads.expire(now - kUploadsKept); };
  co_await offload(parts_.io, expire);
  StateDb& database = parts_.database;
  const auto compact = [&database] { return database.compact(); };
  const Result<void> compacted = co_await offload(parts_.io, compact);
  if (!compacted) parts_.logger.warn("outbox.compact_failed", {log::field(compacted.error())});
}

}  // namespace pn::node
