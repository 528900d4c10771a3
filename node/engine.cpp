#include "node/engine.hpp"

#include "base/awaitable.hpp"
#include "base/deadline.hpp"
#include "base/ids.hpp"
#include "base/log.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "node/disk_guard.hpp"
#include "node/dms_client.hpp"
#include "node/task_run.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <utility>

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
/// How soon a disk without room is looked at again.
constexpr std::chrono::seconds kDiskAgain{2};
/// A node that is to do one task does not wait for a server that is away.
constexpr int kOnceTries = 3;
/// Nor for a sign-in that does not come: a token is waited for within the poll.
constexpr std::chrono::seconds kOnceWait{20};
/// Tasks that hold no slot, but a lease until their receipt is taken.
constexpr std::size_t kMostLingering = 64;

}  // namespace

Engine::Engine(const TaskParts& parts, RunMode mode, SpaceProbe space)
    : parts_(parts),
      core_(parts.config.poll_backoff_min, parts.config.poll_backoff_max, parts.rng),
      choice_(parts.registry.capabilities(),
              parts.config.capability_concurrency,
              mode == RunMode::once ? std::chrono::seconds(0) : parts.config.long_poll),
      disk_(DiskGuard::Parts{.control = parts.control,
                             .io = parts.io,
                             .clock = parts.clock,
                             .metrics = parts.metrics,
                             .logger = parts.logger,
                             .probe = std::move(space)},
            disk_limits(parts.config),
            parts.config.work_dir,
            parts.config.state_dir),
      mode_(mode),
      wake_(parts.control),
      polled_(parts.control),
      asking_(parts.control),
      children_(parts.control) {
  for (const Capability& capability : choice_.all()) {
    breakers_.emplace(capability,
                      BreakerCore(parts.config.breaker_failures, parts.config.breaker_window));
    parts.metrics.set_breaker(capability, false);
  }
  parts.metrics.set_slots(0, parts.config.max_concurrency);
}

Awaitable<void> Engine::run() {
  children_.spawn("poll", poll());
  co_await children_.join();
}

void Engine::request_stop() {
  if (std::exchange(stopping_, true)) return;
  for (const Slot& slot : tasks_) slot.run->draining();
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
  // A long poll is answered by work only, which is not wanted now; a short one is let be.
  if (asked_.hold.count() > 0) asking_.cancel();
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
  next_turn_by_ = until == SteadyTime::max() ? until : until + kLate;
}

std::size_t Engine::busy() const {
  return static_cast<std::size_t>(
      std::ranges::count_if(tasks_, [](const Slot& slot) { return !slot.run->lingers(); }));
}

bool Engine::full() const {
  // Its one task is all there is, also while it waits for its receipt.
  if (mode_ == RunMode::once) return !tasks_.empty();
  const std::size_t slots = parts_.config.max_concurrency;
  return busy() >= slots || tasks_.size() >= slots + kMostLingering;
}

Awaitable<void> Engine::poll() {
  while (!done()) {
    std::optional<ClaimAsk> what = co_await ready();
    if (!what) continue;
    asked_ = *what;
    co_await wait_for_answer(*std::move(what));
    if (!answer_) continue;  // taken back
    Result<Claim> answer = *std::exchange(answer_, std::nullopt);
    Wait next;
    if (answer) {
      status_.last_answer = parts_.clock.steady_now();
      status_.last_error.reset();
      co_await take(*std::move(answer), next);
    } else {
      next = failed(answer.error());
    }
    co_await wait(next);
  }
  turn(SteadyTime::max());
  polled_.set();
}

/// What to ask for now. Nothing, after a while, when that is not to be asked at all.
Awaitable<std::optional<ClaimAsk>> Engine::ready() {
  const SteadyTime look = parts_.clock.steady_now() + kTurn;
  // Not to lease by, but for those who watch the node: its task may be filling the disk.
  if (full() || paused()) static_cast<void>(co_await disk_.has_room(children_));
  if (full()) {
    co_await nap(look);
    co_return std::nullopt;
  }
  if (paused()) {
    once_ends(RunEnd::nothing);
    SteadyTime end = look;
    if (pause_->until) {
      end = std::min(end, parts_.clock.steady_now() + (*pause_->until - parts_.clock.system_now()));
    }
    co_await nap(end);
    co_return std::nullopt;
  }
  turn(look);
  const bool room = co_await disk_.has_room(children_);
  // Work whose end cannot be kept is not begun.
  if (!room || !parts_.outbox.durable()) {
    once_ends(RunEnd::nothing);
    co_await nap(parts_.clock.steady_now() + kDiskAgain);
    co_return std::nullopt;
  }
  // The look took its time.
  if (done() || paused()) co_return std::nullopt;
  look_at_breakers();
  std::optional<ClaimAsk> what = choice_.next(busy_by_capability(), paused_capabilities());
  if (!what) {
    SteadyTime until = look;
    for (const auto& [capability, breaker] : breakers_) {
      if (const auto probe = breaker.next_probe()) until = std::min(until, *probe);
    }
    once_ends(RunEnd::nothing);
    co_await nap(until);
  }
  co_return what;
}

/// Until then, or until something has changed.
Awaitable<void> Engine::nap(SteadyTime until) {
  if (done()) co_return;
  turn(until);
  co_await wake_.wait_until(parts_.clock, Deadline(until));
}

/// A task that ends frees a slot and wakes us: then the next poll goes out at once.
Awaitable<void> Engine::wait(Wait wait) {
  const std::size_t busy_then = busy();
  const SteadyTime due = parts_.clock.steady_now() + wait.pause;
  while (!done() && parts_.clock.steady_now() < due) {
    if (wait.until_free && busy() < busy_then) co_return;
    co_await nap(std::min(due, parts_.clock.steady_now() + kTurn));
  }
}

Engine::Wait Engine::failed(const Error& error) {
  status_.last_error = error;
  parts_.metrics.polled(Metrics::Poll::error);
  const Millis pause = core_.after_error(error.after);
  parts_.logger.warn("poll.failed", {{"again_ms", pause.count()}, log::field(error)});
  if (error.kind == ErrorKind::unauthorized) once_ends(RunEnd::refused);
  const bool waited_out = parts_.clock.steady_now() >= answer_by_;
  if (error.kind != ErrorKind::retry || waited_out || core_.errors() >= kOnceTries) {
    once_ends(RunEnd::unreachable);
  }
  // Not cut short: a server in trouble is not helped by those who are done with a task.
  return Wait{.pause = pause, .until_free = false};
}

void Engine::once_ends(RunEnd end) {
  if (mode_ == RunMode::serve || once_over_) return;
  once_over_ = true;
  end_ = end;
}

/// The poll runs as a child, so that a stop can take it back.
Awaitable<void> Engine::wait_for_answer(ClaimAsk what) {
  asked_at_ = parts_.clock.steady_now();
  status_.asking = true;
  // Twice: a token that is refused is renewed, and the request sent again.
  Millis limit = 2 * (parts_.config.request_timeout + what.hold);
  if (mode_ == RunMode::once) limit = std::min<Millis>(limit, kOnceWait);
  answer_by_ = asked_at_ + limit;
  turn(answer_by_);
  asking_.spawn("claim", ask(std::move(what)));
  co_await asking_.join();
  status_.asking = false;
}

Awaitable<void> Engine::ask(ClaimAsk what) {
  Awaitable<Result<Claim>> call = parts_.dms.claim(std::move(what));
  const Deadline deadline(answer_by_);
  Result<Claim> claim = co_await with_deadline<Claim>(parts_.clock, deadline, std::move(call));
  answer_ = std::move(claim);
}

Awaitable<void> Engine::take_back() {
  // A long poll is answered by work only, which we do not want any more.
  if (asked_.hold.count() == 0) {
    co_await polled_.wait_until(parts_.clock, Deadline::in(parts_.clock, kLastAnswer));
  }
  asking_.cancel();
}

}  // namespace pn::node
