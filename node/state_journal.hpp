#pragma once

#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/event.hpp"
#include "base/log.hpp"
#include "base/offload.hpp"
#include "base/result.hpp"
#include "node/journal.hpp"
#include "node/state_db.hpp"

#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <string>

namespace pn::node {

/// The journal on disk: one writer, which takes all that waits in one transaction, so that sixteen
/// slots do not pay sixteen fsyncs. Thread: the control loop's; the disk's work on `io`.
class StateJournal final : public Journal {
 public:
  /// References outlive it.
  StateJournal(
      Executor control, ThreadPool& io, Clock& clock, log::Logger logger, StateDb& database);

  /// The writer; until it is cancelled.
  Awaitable<void> run();
  /// Returns when all that was posted is on disk, or the disk has refused it.
  Awaitable<Result<void>> flush();

  void post(RowChange change) override;
  Awaitable<Result<void>> commit(RowChange change) override;
  Awaitable<Result<std::string>> body(RowId id) override;
  [[nodiscard]] bool durable() const override { return !failed_; }

 private:
  struct Waiter {
    explicit Waiter(const Executor& executor) : done(executor) {}
    Event done;
    std::optional<Result<void>> result;
  };
  struct Item {
    std::optional<RowChange> change;  ///< nothing: flush()'s own
    std::shared_ptr<Waiter> waiter;   ///< shared with one who may be cancelled meanwhile; or null
  };

  Awaitable<void> write_all();
  void written(std::size_t count, const Result<void>& result);

  const Executor control_;
  ThreadPool& io_;
  Clock& clock_;
  const log::Logger logger_;
  StateDb& database_;

  std::deque<Item> queue_;  // the writer refers to its elements: only the writer pops
  std::optional<SteadyTime> again_at_;
  bool failed_ = false;
  Event wake_;
};

}  // namespace pn::node
