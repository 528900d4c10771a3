#include "node/heartbeat_loop.hpp"

#include "base/awaitable.hpp"
#include "base/deadline.hpp"
#include "base/ids.hpp"
#include "base/log.hpp"
#include "base/result.hpp"
#include "base/secret.hpp"
#include "base/time.hpp"
#include "node/lease.hpp"
#include "node/lease_core.hpp"
#include "node/metrics.hpp"
#include "storage/task_token.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pn::node {
namespace {

/// What one beat carries at most; the rest goes with the next, at once.
constexpr std::size_t kEventBytes = 256 * 1024;
/// Runners that talk without end do not fill our memory: what comes on top is dropped.
constexpr std::size_t kMostEvents = 10'000;
constexpr std::size_t kMostEventBytes = 8 * 1024 * 1024;
constexpr int kFlushTries = 3;

Millis until(SteadyTime when, SteadyTime now) {
  return std::chrono::duration_cast<Millis>(when - now);
}

Metrics::LeaseLoss loss(LeaseEnd end) {
  if (end == LeaseEnd::canceled) return Metrics::LeaseLoss::canceled;
  return end == LeaseEnd::fenced ? Metrics::LeaseLoss::fenced : Metrics::LeaseLoss::lost;
}

/// The server read the request and will not have it, however often it comes.
bool is_refusal(const Error& error) {
  return error.kind == ErrorKind::rejected && error.code.starts_with("http_");
}

}  // namespace

std::string_view name(LeaseEnd end) {
  switch (end) {
    case LeaseEnd::none:
      return "none";
    case LeaseEnd::canceled:
      return "canceled";
    case LeaseEnd::lost:
      return "lost";
    case LeaseEnd::fenced:
      return "fenced";
  }
  return "none";
}

HeartbeatLoop::HeartbeatLoop(HeartbeatParts parts,
                             LeasePolicy policy,
                             Lease& lease,
                             storage::TaskToken& token)
    : parts_(std::move(parts)),
      lease_(lease),
      token_(token),
      core_(policy, parts_.rng),
      wake_(parts_.control),
      flushed_(parts_.control) {
  core_.granted(lease.sent, lease.received, lease.remaining);
  parts_.fence.set(core_.fence());
}

Awaitable<Result<void>> HeartbeatLoop::open(Millis limit) {
  const SteadyTime latest = parts_.clock.steady_now() + limit;
  for (;;) {
    const Result<void> first = co_await beat();
    if (first || end_ != LeaseEnd::none || gave_up_ || is_refusal(first.error())) co_return first;
    const SteadyTime due = core_.next_beat();
    if (due >= std::min(core_.fence(), latest)) co_return first;
    co_await wake_.wait_until(parts_.clock, Deadline(due));
    if (gave_up_ || end_ != LeaseEnd::none) co_return first;
  }
}

Awaitable<void> HeartbeatLoop::run() {
  while (end_ == LeaseEnd::none) {
    const SteadyTime now = parts_.clock.steady_now();
    if (end() != LeaseEnd::none) co_return;
    const SteadyTime due = core_.next_beat();
    if (now >= due) {
      // Its failure is in core_ and in the log; the next turn knows what to do.
      const Result<void> ignored = co_await beat();
      static_cast<void>(ignored);
      continue;
    }
    co_await wake_.wait_until(parts_.clock, Deadline(std::min(due, core_.fence())));
  }
}

void HeartbeatLoop::set_progress(std::string json) {
  if (json == progress_) return;
  progress_ = std::move(json);
  ++version_;
  core_.changed(parts_.clock.steady_now());
  wake_.set();
}

void HeartbeatLoop::add_event(std::string json) {
  if (events_.size() >= kMostEvents || event_bytes_ + json.size() > kMostEventBytes) {
    drop_event();
  } else {
    event_bytes_ += json.size();
    events_.push_back(Told{.json = std::move(json)});
  }
  core_.changed(parts_.clock.steady_now());
  wake_.set();
}

/// The gap is part of the stream: one event that counts, until it goes out.
void HeartbeatLoop::drop_event() {
  parts_.metrics.events_dropped(1);
  const bool counting = events_.size() > in_flight_ && events_.back().dropped > 0;
  if (!counting) {
    parts_.logger.warn("task.event_dropped", {{"kept", events_.size()}});
    events_.push_back(Told{.json = std::string()});
  }
  ++events_.back().dropped;
}

LeaseEnd HeartbeatLoop::end() {
  if (end_ == LeaseEnd::none && parts_.clock.steady_now() >= core_.fence()) {
    parts_.logger.warn("lease.fenced", {{"tries", core_.failures()}});
    finish(LeaseEnd::fenced);
  }
  return end_;
}

Awaitable<void> HeartbeatLoop::flush() {
  if (clean() || end() != LeaseEnd::none || gave_up_) co_return;
  flush_tries_ = kFlushTries;
  core_.hurry(parts_.clock.steady_now());
  wake_.set();
  while (flush_tries_ > 0) co_await flushed_.wait();
}

void HeartbeatLoop::renew_token(std::function<void()> done) {
  if (end_ != LeaseEnd::none) {
    done();
    return;
  }
  token_waiters_.push_back(std::move(done));
  core_.hurry(parts_.clock.steady_now());
  wake_.set();
}

void HeartbeatLoop::lose() {
  if (end_ == LeaseEnd::none) finish(LeaseEnd::lost);
  wake_.set();
}

void HeartbeatLoop::give_up() {
  gave_up_ = true;
  flush_tries_ = 0;
  flushed_.set();
  wake_.set();
}

Awaitable<Result<void>> HeartbeatLoop::beat() {
  const SteadyTime now = parts_.clock.steady_now();
  parts_.metrics.heartbeat_sent(std::max(Millis(0), until(now, core_.next_beat())));
  core_.sending();
  // Who asks while this beat is under way waits for the next one.
  std::vector<std::function<void()>> asked = std::exchange(token_waiters_, {});
  const std::uint64_t version = version_;
  const std::vector<std::string> events = next_events();
  in_flight_ = events.size();
  std::string body = heartbeat_body(lease_.id, progress_, {events.begin(), events.end()});
  const Deadline deadline(core_.try_until(now));
  Awaitable<Result<LeaseUpdate>> call =
      parts_.dms.heartbeat(lease_.task.id, std::move(body), lease_.trace_id);
  Result<LeaseUpdate> update =
      co_await with_deadline<LeaseUpdate>(parts_.clock, deadline, std::move(call));
  in_flight_ = 0;
  Result<void> out;
  if (end_ != LeaseEnd::none) {
    // Lost while it was under way: whatever was answered is of a lease that is no longer ours.
  } else if (update) {
    beat_accepted(*std::move(update), events.size(), version);
  } else {
    out = std::move(update).error();
    beat_failed(out.error());
  }
  if (out || end_ != LeaseEnd::none) {
    for (const auto& done : asked) done();
  } else {
    token_waiters_.insert(token_waiters_.begin(), asked.begin(), asked.end());
  }
  if (flush_tries_ > 0) {
    --flush_tries_;
    if (clean() || end_ != LeaseEnd::none) flush_tries_ = 0;
    if (flush_tries_ == 0) flushed_.set();
  }
  co_return out;
}

void HeartbeatLoop::beat_failed(const Error& error) {
  if (error.kind == ErrorKind::restart) {
    parts_.logger.warn("lease.lost", {log::field(error)});
    finish(LeaseEnd::lost);
    return;
  }
  parts_.metrics.heartbeat_failed();
  const SteadyTime now = parts_.clock.steady_now();
  core_.failed(now, error.after);
  const bool fenced = core_.fence() != SteadyTime::max();
  parts_.logger.warn("heartbeat.failed",
                     {{"tries", core_.failures()},
                      {"again_ms", until(core_.next_beat(), now).count()},
                      {"fence_ms", fenced ? until(core_.fence(), now).count() : -1},
                      log::field(error)});
}

void HeartbeatLoop::beat_accepted(LeaseUpdate update, std::size_t events, std::uint64_t version) {
  const SteadyTime now = parts_.clock.steady_now();
  for (std::size_t i = 0; i < events; ++i) {
    event_bytes_ -= events_.front().json.size();
    events_.pop_front();
  }
  acknowledged_ = version;
  core_.accepted(update.sent, now, update.remaining);
  parts_.fence.set(core_.fence());
  if (update.token) {
    token_.set(Secret<std::string>(*update.token));
    parts_.logger.hide(Secret<std::string>(*update.token));
    parts_.logger.debug("token.rotated");
  }
  const bool canceled = update.cancel;
  const TaskId before = lease_.task.id;
  apply(std::move(update), lease_);
  if (lease_.task.id != before) parts_.logger.info("task.renamed", {{"to", lease_.task.id}});
  if (canceled) {
    parts_.logger.info("lease.canceled");
    finish(LeaseEnd::canceled);
    return;
  }
  parts_.logger.debug("lease.renewed", {{"ttl_ms", core_.ttl().value_or(Millis(-1)).count()}});
  // What came during the request has its own due time; what did not fit is due now.
  if (events > 0 && !events_.empty()) core_.hurry(now);
}

std::vector<std::string> HeartbeatLoop::next_events() const {
  std::vector<std::string> out;
  std::size_t bytes = 0;
  for (const Told& event : events_) {
    bytes += event.json.size();
    if (!out.empty() && bytes > kEventBytes) break;
    out.push_back(event.dropped == 0 ? event.json
                                     : R"({"event":"events_dropped","count":)" +
                                           std::to_string(event.dropped) + "}");
  }
  return out;
}

void HeartbeatLoop::finish(LeaseEnd end) {
  end_ = end;
  if (end == LeaseEnd::canceled) {
    parts_.fence.cancel();
  } else {
    parts_.fence.close();
  }
  parts_.metrics.lease_ended(loss(end));
  for (const auto& done : std::exchange(token_waiters_, {})) done();
  if (flush_tries_ > 0) {
    flush_tries_ = 0;
    flushed_.set();
  }
}

}  // namespace pn::node
