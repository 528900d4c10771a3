#include "base/awaitable.hpp"
#include "base/ids.hpp"
#include "base/log.hpp"
#include "base/result.hpp"
#include "base/rng.hpp"
#include "base/thrown.hpp"
#include "base/time.hpp"
#include "node/breaker_core.hpp"
#include "node/dms_client.hpp"
#include "node/engine.hpp"
#include "node/lease.hpp"
#include "node/metrics.hpp"
#include "node/node_status.hpp"
#include "node/outbox.hpp"
#include "node/receipt.hpp"
#include "node/task_run.hpp"
#include "storage/ports.hpp"

#include <chrono>
#include <cstddef>
#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/this_coro.hpp>

namespace pn::node {
namespace {

constexpr std::size_t kMostPast = 50;

BreakerCore::Fate fate_of(const PastTask& past, bool crashed) {
  if (crashed) return BreakerCore::Fate::failed;
  if (past.outcome == "completed") return BreakerCore::Fate::worked;
  if (past.outcome == "failed" && past.reason != "node_shutdown") return BreakerCore::Fate::failed;
  return BreakerCore::Fate::other;
}

Metrics::TaskEnd counted_as(const PastTask& past) {
  if (past.outcome == "completed") return Metrics::TaskEnd::completed;
  if (past.outcome == "failed") return Metrics::TaskEnd::failed;
  return Metrics::TaskEnd::dropped;
}

RunEnd end_of(const PastTask& past, bool crashed) {
  if (crashed || past.outcome == "failed") return RunEnd::failed;
  if (past.outcome == "completed") return RunEnd::completed;
  if (past.outcome == "canceled") return RunEnd::canceled;
  return RunEnd::lost;
}

}  // namespace

/// Puts a lease to work, or says how long to wait for one.
Awaitable<void> Engine::take(Claim claim, Wait& wait) {
  const Millis took = std::chrono::duration_cast<Millis>(parts_.clock.steady_now() - asked_at_);
  if (claim.broken) {
    parts_.metrics.polled(Metrics::Poll::error);
    parts_.logger.warn("lease.unreadable",
                       {{"task", claim.broken->task}, log::field(*claim.fault)});
    wait.pause = core_.after_error(std::nullopt);
    std::string body =
        setup_failed_body(claim.broken->id, SetupStage::start_session, claim.fault->detail);
    co_await refuse(claim.broken->task, std::move(body));
    once_ends(RunEnd::failed);
    co_return;
  }
  if (!claim.lease || claim.lease->cancel || repeated(*claim.lease)) {
    // A canceled lease wants neither work nor a report (wire.md).
    parts_.metrics.polled(Metrics::Poll::nothing);
    wait.until_free = !claim.retry_after;
    if (asked_.ends_round || claim.retry_after) {
      wait.pause = core_.after_nothing(claim.waited ? took : Millis(0), claim.retry_after);
      once_ends(RunEnd::nothing);
    }
    co_return;
  }
  parts_.metrics.polled(Metrics::Poll::lease);
  Lease lease = *std::move(claim.lease);
  parts_.logger.hide(lease.token);
  const bool needed = co_await parts_.outbox.admit(lease);
  if (!needed) {
    wait.pause = core_.after_work();
    once_ends(RunEnd::completed);
    co_return;
  }
  if (stopping_) {
    const Failure failure{.reason = "node_shutdown", .error = "the node shuts down"};
    std::string body = fail_body(lease, failure, std::vector<storage::Artifact>());
    co_await refuse(lease.task.id, std::move(body));
    co_return;
  }
  wait.pause = core_.after_work();
  start(std::move(lease));
}

/// What we work on already. The same lease twice: the first goes on. Another one of the same task:
/// the first has ended, though its heartbeats may not know it yet.
bool Engine::repeated(const Lease& lease) {
  for (const Slot& slot : tasks_) {
    if (slot.run->task() != lease.task.id) continue;
    const bool same = slot.lease == lease.id && slot.attempt == lease.task.attempt;
    parts_.logger.warn("lease.repeated",
                       {{"task", lease.task.id}, {"attempt", lease.task.attempt}, {"same", same}});
    if (same) return true;
    slot.run->superseded();
  }
  return false;
}

void Engine::start(Lease lease) {
  Slot slot;
  slot.capability = lease.task.capability;
  slot.lease = lease.id;
  slot.attempt = lease.task.attempt;
  slot.leased_at = parts_.clock.steady_now();
  const auto breaker = breakers_.find(slot.capability);
  if (breaker != breakers_.end()) slot.ticket = breaker->second.leased(slot.leased_at);
  slot.run = std::make_unique<TaskRun>(parts_, std::move(lease), [this] { freed(); });
  const auto task = tasks_.insert(tasks_.end(), std::move(slot));
  parts_.metrics.set_slots(busy(), parts_.config.max_concurrency);
  children_.spawn("task", run_task(task));
}

Awaitable<void> Engine::refuse(TaskId task, std::string body) {
  Receipt receipt{.task = std::move(task), .outcome = Outcome::failed, .body = std::move(body)};
  receipt.trace_id = random_hex(parts_.rng, 16);
  co_await parts_.outbox.report(std::move(receipt));
}

/// The job boundary: what goes wrong with one task stays with it.
Awaitable<void> Engine::run_task(Tasks::iterator task) {
  struct Done {
    Engine& engine;
    Tasks::iterator task;
    bool crashed = false;
    ~Done() {
      engine.ended(*task, crashed);
      engine.tasks_.erase(task);
      engine.freed();
    }
  };
  Done done{.engine = *this, .task = task};
  std::exception_ptr thrown;
  try {
    co_await task->run->run();
  } catch (...) {
    thrown = std::current_exception();
  }
  if (!thrown) co_return;
  const auto state = co_await asio::this_coro::cancellation_state;
  if (state.cancelled() != asio::cancellation_type::none) std::rethrow_exception(thrown);
  done.crashed = true;
  parts_.logger.error("task.crashed", {{"task", task->run->task()}, {"what", what_of(thrown)}});
}

void Engine::freed() {
  for (Slot& slot : tasks_) {
    if (slot.run->lingers()) judge(slot, slot.run->past(), false);
  }
  parts_.metrics.set_slots(busy(), parts_.config.max_concurrency);
  wake_.set();
}

/// By when its work ended: its receipt may have taken long since.
void Engine::judge(Slot& slot, const PastTask& past, bool crashed) {
  const auto breaker = breakers_.find(slot.capability);
  if (breaker == breakers_.end() || std::exchange(slot.judged, true)) return;
  const SteadyTime end = crashed ? parts_.clock.steady_now() : slot.leased_at + past.took;
  const auto change =
      breaker->second.ended(slot.ticket, fate_of(past, crashed), slot.leased_at, end);
  breaker_changed(slot.capability, change);
}

void Engine::ended(Slot& slot, bool crashed) {
  PastTask past = slot.run->past();
  if (!past.outcome.empty()) {
    parts_.metrics.task_ended(slot.capability, counted_as(past), past.took);
  }
  once_ends(end_of(past, crashed));
  judge(slot, past, crashed);
  past_.push_front(std::move(past));
  if (past_.size() > kMostPast) past_.pop_back();
}

void Engine::look_at_breakers() {
  for (auto& [capability, breaker] : breakers_) {
    breaker_changed(capability, breaker.look(parts_.clock.steady_now()));
  }
}

void Engine::breaker_changed(const Capability& capability, BreakerCore::Change change) {
  switch (change) {
    case BreakerCore::Change::none:
      return;
    case BreakerCore::Change::opened:
      parts_.metrics.set_breaker(capability, true);
      parts_.logger.warn("breaker.opened",
                         {{"capability", capability},
                          {"failures", parts_.config.breaker_failures},
                          {"again_ms", Millis(parts_.config.breaker_window).count()}});
      return;
    case BreakerCore::Change::closed:
      parts_.metrics.set_breaker(capability, false);
      parts_.logger.info("breaker.closed", {{"capability", capability}});
      return;
  }
}

std::map<Capability, std::size_t> Engine::busy_by_capability() const {
  std::map<Capability, std::size_t> out;
  for (const Slot& slot : tasks_) {
    if (!slot.run->lingers()) ++out[slot.capability];
  }
  return out;
}

std::set<Capability> Engine::paused_capabilities() const {
  std::set<Capability> out;
  const SteadyTime now = parts_.clock.steady_now();
  for (const auto& [capability, breaker] : breakers_) {
    if (!breaker.may_lease(now)) out.insert(capability);
  }
  return out;
}

}  // namespace pn::node
