#pragma once

#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/log.hpp"
#include "base/offload.hpp"
#include "base/result.hpp"
#include "node/config.hpp"
#include "node/journal.hpp"
#include "node/node_cache.hpp"
#include "node/state_db.hpp"
#include "node/state_dir.hpp"
#include "node/upload_log.hpp"
#include "storage/input_cache.hpp"

#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace pn::node {

/// What a node finds when it starts.
struct OpenedState {
  StateDir dir;
  std::unique_ptr<StateDb> database;
  std::unique_ptr<UploadLog> uploads;
  /// As the last life left them; on disk, attempts without an outcome have theirs by now.
  std::vector<JournalRow> rows;
  /// Null where none is wanted, or there is a fault: a node works without.
  std::unique_ptr<storage::InputCache> cache;
  std::optional<Error> cache_fault;
};

/// Makes and locks STATE_DIR, makes WORK_DIR, opens the journal and the input cache. An Error is a
/// matter of configuration or of the disk; nothing was deleted. Blocks.
Result<OpenedState> open_state(const Config& config, const log::Logger& logger);

/// Removes what is no longer needed, at start and every ten minutes: folders of attempts that died,
/// failed ones that are old or in the way, uploads that no server remembers, the journal's free
/// pages. Before any folder the cache gives way, which is looked after every twenty seconds:
/// between polls, too, a task may need the disk. Thread: the control loop's; the disk's work on
/// `io`.
class Housekeeping final {
 public:
  struct Parts {
    ThreadPool& io;
    Clock& clock;
    const Config& config;
    StateDb& database;
    UploadLog& uploads;
    const CacheRoom* cache = nullptr;  ///< null: there is no cache
    log::Logger logger{};
  };
  /// References outlive it.
  explicit Housekeeping(Parts parts) : parts_(std::move(parts)) {}

  /// Until it is cancelled.
  Awaitable<void> run();

 private:
  Awaitable<void> once();
  Awaitable<void> make_room();

  const Parts parts_;
};

}  // namespace pn::node
