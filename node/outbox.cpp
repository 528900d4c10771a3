#include "node/outbox.hpp"

#include "base/awaitable.hpp"
#include "base/crash_point.hpp"
#include "base/deadline.hpp"
#include "base/event.hpp"
#include "base/log.hpp"
#include "base/redactor.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "node/dms_client.hpp"
#include "node/journal.hpp"
#include "node/lease.hpp"
#include "node/metrics.hpp"
#include "node/node_status.hpp"
#include "node/outbox_core.hpp"
#include "node/receipt.hpp"
#include "storage/ports.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pn::node {
namespace {

constexpr std::size_t kShown = 20;
constexpr std::chrono::seconds kReplay{5};
/// A send that a new lease of ours crosses is waited for this long.
constexpr std::chrono::seconds kCrossing{10};
/// Until what the disk could not read is read again.
constexpr std::chrono::milliseconds kReread{500};
constexpr std::chrono::minutes kExpireEvery{10};
constexpr std::chrono::seconds kProbe{10};

}  // namespace

std::string_view name(Outcome outcome) {
  return outcome == Outcome::completed ? "completed" : "failed";
}

Outbox::Outbox(OutboxParts parts, std::chrono::hours max_age)
    : parts_(std::move(parts)),
      logger_(parts_.logger),
      max_age_(max_age),
      core_(parts_.rng),
      // A node that was off for longer than max_age tries once more before it gives up.
      expire_at_(parts_.clock.steady_now() + kExpireEvery),
      wake_(parts_.control),
      landed_(parts_.control),
      replayed_(parts_.control),
      children_(parts_.control) {}

void Outbox::adopt(const std::vector<JournalRow>& rows) {
  const SteadyTime now = parts_.clock.steady_now();
  std::size_t restarted = 0;
  for (const JournalRow& row : rows) {
    last_id_ = std::max(last_id_, row.id);
    if (row.state == RowState::set_aside) {
      ++set_aside_;
      last_set_aside_.push_front({.task = row.task,
                                  .outcome = std::string(name(row.outcome)),
                                  .answer = row.answer,
                                  .at = row.at});
      continue;
    }
    // The wall clock is asked this once: a machine that booted in the past must not give up what it
    // has when NTP sets its clock.
    const auto age = std::clamp<SystemTime::duration>(
        parts_.clock.system_now() - row.at, SystemTime::duration(0), max_age_);
    Entry entry{.task = row.task,
                .outcome = row.outcome,
                .trace_id = row.trace_id,
                .at = row.at,
                .too_old = now + (max_age_ - age),
                .body = std::nullopt};
    entry.replayed = true;
    entries_.emplace(row.id, std::move(entry));
    core_.add(row.id, now);
    ++untried_;
    if (row.state == RowState::leased) ++restarted;
  }
  if (last_set_aside_.size() > kShown) last_set_aside_.resize(kShown);
  gauge();
  if (!rows.empty()) {
    logger_.info(
        "outbox.loaded",
        {{"pending", untried_}, {"without_outcome", restarted}, {"set_aside", set_aside_}});
  }
}

Awaitable<void> Outbox::run() {
  parts_.dms.on_answer([this] {
    const bool was_away = core_.away();
    core_.heard(parts_.clock.steady_now());
    if (was_away) wake_.set();
  });
  children_.spawn("send_all", send_all());
  co_await children_.join();
}

Awaitable<void> Outbox::replayed() {
  const Deadline latest = Deadline::in(parts_.clock, kReplay);
  while (untried_ > 0 && !latest.passed(parts_.clock)) {
    co_await replayed_.wait_until(parts_.clock, latest);
  }
}

RowId Outbox::lease_taken(const Lease& lease) {
  const Failure died{.reason = "node_restarted", .error = "the node died and was started again"};
  JournalRow row{.id = ++last_id_,
                 .task = lease.task.id,
                 .state = RowState::leased,
                 .outcome = Outcome::failed,
                 .body = fail_body(lease, died, std::vector<storage::Artifact>()),
                 .trace_id = lease.trace_id,
                 .at = parts_.clock.system_now()};
  leased_.insert(row.id);
  parts_.journal.post(PutRow{std::move(row)});
  return last_id_;
}

void Outbox::lease_over(RowId id) {
  if (leased_.erase(id) > 0) parts_.journal.post(EraseRow{id});
}

Awaitable<void> Outbox::store(RowId id, Receipt receipt, std::function<void()> changed) {
  co_await keep(id, std::move(receipt), std::move(changed));
  release(id);
}

Awaitable<void> Outbox::keep(RowId id, Receipt receipt, std::function<void()> changed) {
  const SystemTime at = parts_.clock.system_now();
  const SteadyTime too_old = parts_.clock.steady_now() + max_age_;
  // Before it is written: a later life, which sends it, knows the secrets of this one no more.
  if (receipt.outcome == Outcome::failed) {
    receipt.body = clean_failure(std::move(receipt.body), logger_.redactor());
  }
  JournalRow row{.id = id,
                 .task = receipt.task,
                 .state = RowState::pending,
                 .outcome = receipt.outcome,
                 .body = receipt.body,
                 .trace_id = receipt.trace_id,
                 .at = at};
  RowChange change = PutRow{std::move(row)};
  // The journal has logged a failure; the outcome is sent from memory, and it tries again.
  const Result<void> durable = co_await parts_.journal.commit(std::move(change));
  static_cast<void>(durable);
  crash_point("outcome.stored");
  leased_.erase(id);
  Entry entry{.task = std::move(receipt.task),
              .outcome = receipt.outcome,
              .trace_id = std::move(receipt.trace_id),
              .at = at,
              .too_old = too_old,
              .body = std::move(receipt.body)};
  entry.changed = std::move(changed);
  entries_.insert_or_assign(id, std::move(entry));
  gauge();
}

void Outbox::release(RowId id) {
  if (!entries_.contains(id)) return;
  core_.add(id, parts_.clock.steady_now());
  wake_.set();
}

Awaitable<void> Outbox::report(Receipt receipt) {
  const RowId id = ++last_id_;
  // Shared with the entry, which may outlive a caller who is cancelled.
  const auto turned = std::make_shared<Event>(parts_.control);
  std::function<void()> changed = [turned] { turned->set(); };
  co_await store(id, std::move(receipt), std::move(changed));
  while (pending(id) && !delayed(id)) co_await turned->wait();
  unwatch(id);
}

void Outbox::unwatch(RowId id) {
  const auto at = entries_.find(id);
  if (at != entries_.end()) at->second.changed = nullptr;
}

void Outbox::withdraw(RowId id) {
  if (!entries_.contains(id)) return;
  parts_.journal.post(EraseRow{id});
  drop(id);
}

Awaitable<void> Outbox::send_all() {
  for (;;) {
    const SteadyTime now = parts_.clock.steady_now();
    if (now >= expire_at_) expire();
    const OutboxCore::Step step = core_.next(now);
    switch (step.act) {
      case OutboxCore::Act::send:
        core_.sending(step.id, now);
        children_.spawn("send", send(step.id));
        break;
      case OutboxCore::Act::probe:
        core_.probing();
        children_.spawn("probe", probe());
        break;
      case OutboxCore::Act::wait: {
        const SteadyTime until =
            entries_.empty() ? SteadyTime::max() : std::min(step.until, expire_at_);
        co_await wake_.wait_until(parts_.clock, Deadline(until));
        break;
      }
    }
  }
}

Awaitable<void> Outbox::send(RowId id) {
  Entry& entry = entries_.at(id);
  Receipt receipt{
      .task = entry.task, .outcome = entry.outcome, .body = {}, .trace_id = entry.trace_id};
  Result<std::string> body = entry.body.value_or("");
  if (!entry.body) body = co_await parts_.journal.body(id);
  Result<void> sent;
  if (body) {
    receipt.body = *std::move(body);
    crash_point("receipt.sending");
    sent = co_await parts_.dms.send(std::move(receipt));
    crash_point("receipt.answered");
  } else {
    // Our disk's fault and not the server's answer, whatever its kind: it is read again.
    Error unread = std::move(body).error();
    unread.kind = ErrorKind::retry;
    sent = std::move(unread);
  }
  // It may have been withdrawn meanwhile; then its answer is nobody's.
  if (entries_.contains(id)) {
    if (sent) {
      taken(id);
    } else {
      not_taken(id, sent.error());
    }
  }
  landed_.set();
  wake_.set();
}

/// Asks DMS for nothing: whether it is there.
Awaitable<void> Outbox::probe() {
  Awaitable<Result<void>> asking = parts_.dms.probe();
  const Deadline deadline = Deadline::in(parts_.clock, kProbe);
  const Result<void> there =
      co_await with_deadline<void>(parts_.clock, deadline, std::move(asking));
  const SteadyTime now = parts_.clock.steady_now();
  if (there) {
    core_.heard(now);
  } else {
    core_.probe_failed(now);
  }
  wake_.set();
}

void Outbox::taken(RowId id) {
  const Entry& entry = entries_.at(id);
  logger_.debug("receipt.sent", {{"task", entry.task}, {"outcome", name(entry.outcome)}});
  parts_.metrics.receipt(Metrics::Delivery::sent);
  last_error_.clear();
  core_.sent(id, parts_.clock.steady_now());
  parts_.journal.post(EraseRow{id});
  drop(id);
}

void Outbox::not_taken(RowId id, const Error& why) {
  Entry& entry = entries_.at(id);
  last_error_ = to_string(why);
  if (why.kind == ErrorKind::rejected) {
    logger_.warn("receipt.refused",
                 {{"task", entry.task}, {"outcome", name(entry.outcome)}, log::field(why)});
    parts_.metrics.receipt(Metrics::Delivery::refused);
    core_.sent(id, parts_.clock.steady_now());
    set_aside(id, why.detail);
    return;
  }
  logger_.warn("receipt.delayed",
               {{"task", entry.task}, {"outcome", name(entry.outcome)}, log::field(why)});
  parts_.metrics.receipt(Metrics::Delivery::delayed);
  failed(id, why);
  // Ten thousand that wait shall not fill our memory; what the disk has is read when it is sent.
  if (parts_.journal.durable()) entry.body.reset();
  tried(entry);
}

void Outbox::failed(RowId id, const Error& why) {
  const bool was_away = core_.away();
  core_.failed(id, parts_.clock.steady_now(), why.after);
  const bool all = core_.away() && !was_away;  // those who wait for their turn wait longer now
  for (const auto& [other, entry] : entries_) {
    if (entry.changed && (all || other == id)) entry.changed();
  }
}

void Outbox::set_aside(RowId id, std::string answer) {
  logger_.redactor().apply(answer);
  const Entry& entry = entries_.at(id);
  const SystemTime now = parts_.clock.system_now();
  last_set_aside_.push_front({.task = entry.task,
                              .outcome = std::string(name(entry.outcome)),
                              .answer = answer,
                              .at = now});
  if (last_set_aside_.size() > kShown) last_set_aside_.pop_back();
  ++set_aside_;
  parts_.journal.post(SetRowAside{.id = id, .at = now, .answer = std::move(answer)});
  drop(id);
}

/// Out of memory and of the core; the journal was told before.
void Outbox::drop(RowId id) {
  const auto at = entries_.find(id);
  tried(at->second);
  const std::function<void()> changed = std::move(at->second.changed);
  core_.remove(id);
  entries_.erase(at);
  gauge();
  wake_.set();
  if (changed) changed();
}

void Outbox::tried(Entry& entry) {
  if (!std::exchange(entry.replayed, false)) return;
  --untried_;
  if (untried_ == 0) replayed_.set();
}

void Outbox::expire() {
  const SteadyTime now = parts_.clock.steady_now();
  expire_at_ = now + kExpireEvery;
  std::vector<RowId> old;
  for (const auto& [id, entry] : entries_) {
    if (now > entry.too_old && !core_.in_flight(id)) old.push_back(id);
  }
  for (const RowId id : old) {
    const Entry& entry = entries_.at(id);
    logger_.error("receipt.expired",
                  {{"task", entry.task},
                   {"outcome", name(entry.outcome)},
                   {"hours", max_age_.count()},
                   {"error", last_error_}});
    parts_.metrics.receipt(Metrics::Delivery::expired);
    set_aside(id, "not delivered in " + std::to_string(max_age_.count()) + " hours");
  }
}

Awaitable<bool> Outbox::admit(const Lease& lease) {
  const auto find = [this, &lease] {
    return std::find_if(entries_.begin(), entries_.end(), [&lease](const auto& entry) {
      return entry.second.task == lease.task.id;
    });
  };
  const Deadline latest = Deadline::in(parts_.clock, kCrossing);
  for (auto at = find(); at != entries_.end(); at = find()) {
    const RowId id = at->first;
    if (core_.in_flight(id) && !latest.passed(parts_.clock)) {
      co_await landed_.wait_until(parts_.clock, latest);
      continue;
    }
    Entry& entry = at->second;
    if (entry.outcome == Outcome::failed) {
      logger_.info("receipt.superseded", {{"task", entry.task}});
      withdraw(id);
      continue;
    }
    Result<std::string> body = entry.body.value_or("");
    if (!entry.body) body = co_await parts_.journal.body(id);
    if (!body && body.error().kind != ErrorKind::not_found && !latest.passed(parts_.clock)) {
      co_await landed_.wait_until(parts_.clock, Deadline::in(parts_.clock, kReread));
      continue;
    }
    if (!body) co_return true;  // the disk has lost it: work again
    Result<std::string> renewed = with_lease_id(*body, lease.id);
    if (!renewed) co_return true;
    logger_.info("receipt.renewed", {{"task", lease.task.id}});
    withdraw(id);
    const RowId next = lease_taken(lease);
    Receipt receipt{.task = lease.task.id,
                    .outcome = Outcome::completed,
                    .body = *std::move(renewed),
                    .trace_id = lease.trace_id};
    co_await store(next, std::move(receipt), nullptr);
    co_return false;
  }
  co_return true;
}

OutboxStatus Outbox::status() const {
  OutboxStatus out;
  out.pending = entries_.size();
  out.set_aside = set_aside_;
  out.last_set_aside.assign(last_set_aside_.begin(), last_set_aside_.end());
  out.last_error = last_error_;
  out.durable = parts_.journal.durable();
  if (!entries_.empty()) {
    // Their ids grow with time, but for one that a wall clock turned back made.
    const SystemTime now = parts_.clock.system_now();
    out.oldest =
        std::max(Millis(0), std::chrono::duration_cast<Millis>(now - entries_.begin()->second.at));
  }
  return out;
}

void Outbox::gauge() { parts_.metrics.set_outbox(entries_.size(), set_aside_); }

}  // namespace pn::node
