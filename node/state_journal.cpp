#include "node/state_journal.hpp"

#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/crash_point.hpp"
#include "base/deadline.hpp"
#include "base/log.hpp"
#include "base/offload.hpp"
#include "base/result.hpp"
#include "node/journal.hpp"
#include "node/state_db.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace pn::node {
namespace {

/// A disk that took nothing is asked again after this long, or with the next outcome.
constexpr std::chrono::seconds kAgain{5};
/// What one transaction holds at most, so that who waits does not wait for thousands.
constexpr std::size_t kBatch = 512;

}  // namespace

StateJournal::StateJournal(
    Executor control, ThreadPool& io, Clock& clock, log::Logger logger, StateDb& database)
    : control_(std::move(control)),
      io_(io),
      clock_(clock),
      logger_(std::move(logger)),
      database_(database),
      wake_(control_) {}

void StateJournal::post(RowChange change) {
  queue_.push_back(Item{.change = std::move(change), .waiter = nullptr});
  wake_.set();
}

Awaitable<Result<void>> StateJournal::commit(RowChange change) {
  const auto waiter = std::make_shared<Waiter>(control_);
  queue_.push_back(Item{.change = std::move(change), .waiter = waiter});
  again_at_.reset();
  wake_.set();
  co_await waiter->done.wait();
  co_return *waiter->result;
}

Awaitable<Result<void>> StateJournal::flush() {
  if (queue_.empty()) co_return Result<void>();
  const auto waiter = std::make_shared<Waiter>(control_);
  queue_.push_back(Item{.change = std::nullopt, .waiter = waiter});
  again_at_.reset();
  wake_.set();
  co_await waiter->done.wait();
  co_return *waiter->result;
}

Awaitable<Result<std::string>> StateJournal::body(RowId id) {
  StateDb& database = database_;
  const auto read = [&database, id] { return database.body(id); };
  co_return co_await offload(io_, read);
}

Awaitable<void> StateJournal::run() {
  for (;;) {
    if (queue_.empty()) {
      co_await wake_.wait();
    } else if (again_at_ && clock_.steady_now() < *again_at_) {
      co_await wake_.wait_until(clock_, Deadline(*again_at_));
    } else {
      co_await write_all();
    }
  }
}

Awaitable<void> StateJournal::write_all() {
  std::vector<const RowChange*> changes;
  StateDb::Sync sync = StateDb::Sync::lazy;
  // After a failure everything that waited for it goes at once, and nothing of it is durable yet.
  if (failed_) sync = StateDb::Sync::durable;
  const std::size_t count = std::min(queue_.size(), kBatch);
  for (std::size_t i = 0; i < count; ++i) {
    if (queue_[i].change) changes.push_back(&*queue_[i].change);
    if (queue_[i].waiter) sync = StateDb::Sync::durable;
  }
  StateDb& database = database_;
  const auto write = [&database, &changes, sync] { return database.write(changes, sync); };
  const Result<void> result = co_await offload(io_, write);
  crash_point("journal.written");
  written(count, result);
}

void StateJournal::written(std::size_t count, const Result<void>& result) {
  // A failure is everybody's: who came meanwhile would only wait for the same.
  const std::size_t told = result ? count : queue_.size();
  for (std::size_t i = 0; i < told; ++i) {
    const std::shared_ptr<Waiter> waiter = std::exchange(queue_[i].waiter, nullptr);
    if (!waiter) continue;
    waiter->result = result;
    waiter->done.set();
  }
  if (result) {
    queue_.erase(queue_.begin(), queue_.begin() + static_cast<std::ptrdiff_t>(count));
    again_at_.reset();
    if (std::exchange(failed_, false)) logger_.info("outbox.recovered");
    return;
  }
  std::erase_if(queue_, [](const Item& item) { return !item.change && !item.waiter; });
  failed_ = true;
  again_at_ = clock_.steady_now() + kAgain;
  logger_.error("outbox.not_durable", {{"changes", queue_.size()}, log::field(result.error())});
}

}  // namespace pn::node
