#include "node/engine.hpp"

#include "base/awaitable.hpp"
#include "base/deadline.hpp"
#include "base/log.hpp"
#include "base/result.hpp"
#include "base/rng.hpp"
#include "base/thrown.hpp"
#include "base/time.hpp"
#include "node/dms_client.hpp"
#include "node/lease.hpp"
#include "node/node_status.hpp"
#include "node/outbox.hpp"
#include "node/task_run.hpp"
#include "storage/ports.hpp"

#include <chrono>
#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/this_coro.hpp>

namespace pn::node {
namespace {

/// A poll under way when the node stops may have brought a lease already: its answer is waited for
/// this long, so that no task sits leased to a node that is gone.
constexpr std::chrono::seconds kLastAnswer{2};
/// The poll loop turns at least this often, whatever it waits for.
constexpr std::chrono::seconds kTurn{10};
/// How late a turn may be on a busy machine.
constexpr std::chrono::seconds kLate{10};
constexpr std::size_t kMostPast = 50;

}  // namespace

Engine::Engine(const TaskParts& parts, RunMode mode)
    : parts_(parts),
      core_(parts.config.poll_backoff_min, parts.config.poll_backoff_max, parts.rng),
      mode_(mode),
      wake_(parts.control),
      polled_(parts.control),
      asking_(parts.control),
      children_(parts.control) {}

Awaitable<void> Engine::run() {
  children_.spawn("poll", poll());
  co_await children_.join();
}

void Engine::request_stop() {
  if (std::exchange(stopping_, true)) return;
  wake_.set();
  children_.spawn("stop", take_back());
}

void Engine::cancel_tasks() {
  request_stop();
  for (const Slot& slot : tasks_) slot.run->shutdown();
}

void Engine::pause(std::optional<SystemTime> until) {
  pause_ = Pause{.until = until};
  wake_.set();
}

void Engine::resume() {
  pause_.reset();
  wake_.set();
}

bool Engine::paused() const {
  return pause_ && (!pause_->until || parts_.clock.system_now() < *pause_->until);
}

std::optional<SystemTime> Engine::paused_until() const {
  return paused() ? pause_->until : std::nullopt;
}

void Engine::turn(SteadyTime until) {
  last_turn_ = parts_.clock.steady_now();
  next_turn_by_ = until == SteadyTime::max() ? until : until + kLate;
}

bool Engine::full() const { return tasks_.size() >= parts_.config.max_concurrency; }

Awaitable<void> Engine::poll() {
  while (!stopping_) {
    const Deadline look = Deadline::in(parts_.clock, kTurn);
    turn(look.at());
    if (full() || paused()) {
      co_await wake_.wait_until(parts_.clock, look);
      continue;
    }
    co_await wait_for_answer();
    if (!answer_) break;  // stopped, and none came
    Result<Claim> answer = *std::exchange(answer_, std::nullopt);
    Millis pause{0};
    if (answer) {
      status_.last_answer = parts_.clock.steady_now();
      status_.last_error.reset();
      co_await take(*std::move(answer), pause);
    } else {
      status_.last_error = answer.error();
      pause = core_.after_error(answer.error().after);
      parts_.logger.warn("poll.failed", {{"again_ms", pause.count()}, log::field(answer.error())});
    }
    // A task that ends frees a slot and wakes us: then the next poll goes out at once.
    const std::size_t busy = tasks_.size();
    const Deadline due = Deadline::in(parts_.clock, pause);
    while (pause.count() > 0 && !stopping_ && tasks_.size() >= busy && !due.passed(parts_.clock)) {
      const Deadline look_again = due.sooner(Deadline::in(parts_.clock, kTurn));
      turn(look_again.at());
      co_await wake_.wait_until(parts_.clock, look_again);
    }
  }
  turn(SteadyTime::max());
  polled_.set();
}

/// The poll runs as a child, so that a stop can take it back.
Awaitable<void> Engine::wait_for_answer() {
  asked_at_ = parts_.clock.steady_now();
  status_.asking = true;
  // Twice: a token that is refused is renewed, and the request sent again.
  answer_by_ = asked_at_ + 2 * (parts_.config.request_timeout + parts_.config.long_poll);
  turn(answer_by_);
  asking_.spawn("claim", ask());
  co_await asking_.join();
  status_.asking = false;
}

Awaitable<void> Engine::ask() {
  Awaitable<Result<Claim>> call = parts_.dms.claim();
  const Deadline deadline(answer_by_);
  Result<Claim> claim = co_await with_deadline<Claim>(parts_.clock, deadline, std::move(call));
  answer_ = std::move(claim);
}

Awaitable<void> Engine::take_back() {
  // A long poll is answered by work only, which we do not want any more.
  if (parts_.config.long_poll.count() == 0) {
    co_await polled_.wait_until(parts_.clock, Deadline::in(parts_.clock, kLastAnswer));
  }
  asking_.cancel();
}

/// Puts a lease to work, or says how long to wait for one.
Awaitable<void> Engine::take(Claim claim, Millis& pause) {
  const Millis took = std::chrono::duration_cast<Millis>(parts_.clock.steady_now() - asked_at_);
  if (claim.broken) {
    parts_.logger.warn("lease.unreadable",
                       {{"task", claim.broken->task}, log::field(*claim.fault)});
    pause = core_.after_error(std::nullopt);
    std::string body =
        setup_failed_body(claim.broken->id, SetupStage::start_session, claim.fault->detail);
    co_await refuse(claim.broken->task, std::move(body));
    co_return;
  }
  if (!claim.lease || claim.lease->cancel) {
    // A canceled lease wants neither work nor a report (protocol/dms.md).
    pause = core_.after_nothing(claim.waited ? took : Millis(0), claim.retry_after);
    co_return;
  }
  Lease lease = *std::move(claim.lease);
  if (stopping_) {
    const Failure failure{.reason = "node_shutdown", .error = "the node shuts down"};
    std::string body = fail_body(lease, failure, std::vector<storage::Artifact>());
    co_await refuse(lease.task.id, std::move(body));
    co_return;
  }
  pause = core_.after_work();
  Slot slot;
  slot.capability = lease.task.capability;
  slot.leased_at = asked_at_;
  slot.run = std::make_unique<TaskRun>(parts_, std::move(lease));
  const auto task = tasks_.insert(tasks_.end(), std::move(slot));
  children_.spawn("task", run_task(task));
}

Awaitable<void> Engine::refuse(TaskId task, std::string body) {
  Receipt receipt{.task = std::move(task), .outcome = Outcome::failed, .body = std::move(body)};
  receipt.trace_id = random_hex(parts_.rng, 16);
  const Result<void> ignored = co_await parts_.dms.send(std::move(receipt));
  static_cast<void>(ignored);
}

void Engine::remember(const Slot& slot) {
  PastTask past;
  past.task = slot.run->task();
  past.capability = slot.capability;
  past.ended_at = parts_.clock.system_now();
  past.took = std::chrono::duration_cast<Millis>(parts_.clock.steady_now() - slot.leased_at);
  past_.push_front(std::move(past));
  if (past_.size() > kMostPast) past_.pop_back();
}

/// The job boundary: what goes wrong with one task stays with it.
Awaitable<void> Engine::run_task(Tasks::iterator task) {
  struct Done {
    Engine& engine;
    Tasks::iterator task;
    ~Done() {
      engine.remember(*task);
      engine.tasks_.erase(task);
      engine.wake_.set();
    }
  };
  const Done done{.engine = *this, .task = task};
  std::exception_ptr thrown;
  try {
    co_await task->run->run();
  } catch (...) {
    thrown = std::current_exception();
  }
  if (!thrown) co_return;
  const auto state = co_await asio::this_coro::cancellation_state;
  if (state.cancelled() != asio::cancellation_type::none) std::rethrow_exception(thrown);
  parts_.logger.error("task.crashed", {{"task", task->run->task()}, {"what", what_of(thrown)}});
}

}  // namespace pn::node
