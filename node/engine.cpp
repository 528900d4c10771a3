#include "node/engine.hpp"

#include "base/awaitable.hpp"
#include "base/deadline.hpp"
#include "base/log.hpp"
#include "base/result.hpp"
#include "base/rng.hpp"
#include "base/thrown.hpp"
#include "node/dms_client.hpp"
#include "node/lease.hpp"
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

}  // namespace

Engine::Engine(const TaskParts& parts)
    : parts_(parts),
      core_(parts.config.poll_backoff_min, parts.config.poll_backoff_max, parts.rng),
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
  for (const auto& task : tasks_) task->shutdown();
}

bool Engine::full() const { return tasks_.size() >= parts_.config.max_concurrency; }

Awaitable<void> Engine::poll() {
  while (!stopping_) {
    if (full()) {
      co_await wake_.wait();
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
      co_await wake_.wait_until(parts_.clock, due);
    }
  }
  polled_.set();
}

/// The poll runs as a child, so that a stop can take it back.
Awaitable<void> Engine::wait_for_answer() {
  asked_at_ = parts_.clock.steady_now();
  status_.asking = true;
  asking_.spawn("claim", ask());
  co_await asking_.join();
  status_.asking = false;
}

Awaitable<void> Engine::ask() {
  Result<Claim> claim = co_await parts_.dms.claim();
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
  const auto task =
      tasks_.emplace(tasks_.end(), std::make_unique<TaskRun>(parts_, std::move(lease)));
  children_.spawn("task", run_task(task));
}

Awaitable<void> Engine::refuse(TaskId task, std::string body) {
  Receipt receipt{.task = std::move(task), .outcome = Outcome::failed, .body = std::move(body)};
  receipt.trace_id = random_hex(parts_.rng, 16);
  const Result<void> ignored = co_await parts_.dms.send(std::move(receipt));
  static_cast<void>(ignored);
}

/// The job boundary: what goes wrong with one task stays with it.
Awaitable<void> Engine::run_task(Tasks::iterator task) {
  struct Done {
    Engine& engine;
    Tasks::iterator task;
    ~Done() {
      engine.tasks_.erase(task);
      engine.wake_.set();
    }
  };
  const Done done{.engine = *this, .task = task};
  std::exception_ptr thrown;
  try {
    co_await (*task)->run();
  } catch (...) {
    thrown = std::current_exception();
  }
  if (!thrown) co_return;
  const auto state = co_await asio::this_coro::cancellation_state;
  if (state.cancelled() != asio::cancellation_type::none) std::rethrow_exception(thrown);
  parts_.logger.error("task.crashed", {{"task", (*task)->task()}, {"what", what_of(thrown)}});
}

}  // namespace pn::node
