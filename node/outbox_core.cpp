#include "node/outbox_core.hpp"

#include "base/retry.hpp"
#include "base/rng.hpp"
#include "base/time.hpp"
#include "node/journal.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <optional>

namespace pn::node {
namespace {

/// What was heard makes a receipt due, but not sooner after its last try than this, doubled with
/// each such try that fails: a server may answer polls and fail receipts for hours.
constexpr std::chrono::seconds kAfterLast{5};
constexpr std::chrono::seconds kAfterLastMost{60};
constexpr int kMostDoublings = 4;

}  // namespace

OutboxCore::OutboxCore(Rng& rng) : rng_(rng) {}

void OutboxCore::set_due(Entries::value_type& entry, SteadyTime due) {
  queue_.erase({entry.second.due, entry.first});
  entry.second.due = due;
  queue_.insert({due, entry.first});
}

void OutboxCore::add(RowId id, SteadyTime now) {
  const auto [at, fresh] = entries_.try_emplace(id);
  if (!fresh) return;
  set_due(*at, now);
}

void OutboxCore::remove(RowId id) {
  const auto at = entries_.find(id);
  if (at == entries_.end()) return;
  if (at->second.in_flight) --flying_;
  queue_.erase({at->second.due, id});
  entries_.erase(at);
}

std::size_t OutboxCore::limit() const { return away_ || !proven_ ? 1 : kTogether; }

OutboxCore::Step OutboxCore::next(SteadyTime now) const {
  Step out;
  if (entries_.empty()) return out;
  if (away_ && now < probe_at_) {
    out.until = probe_at_;
    return out;
  }
  const bool room = flying_ < limit();
  const auto first = queue_.begin();
  if (room && first != queue_.end() && first->first <= now) {
    out.act = Act::send;
    out.id = first->second;
    return out;
  }
  // Nobody is to be sent, and who would tell that the server is back?
  if (away_ && !probing_) {
    out.act = Act::probe;
    return out;
  }
  if (room && first != queue_.end()) out.until = first->first;
  return out;
}

void OutboxCore::sending(RowId id, SteadyTime now) {
  const auto at = entries_.find(id);
  if (at == entries_.end()) return;
  queue_.erase({at->second.due, id});
  at->second.in_flight = true;
  at->second.last = now;
  ++flying_;
  if (away_) probe_at_ = now + server_.next(rng_, std::nullopt).value_or(kServer.max);
}

void OutboxCore::probing() { probing_ = true; }

void OutboxCore::sent(RowId id, SteadyTime now) {
  remove(id);
  heard(now);
  proven_ = true;
}

void OutboxCore::failed(RowId id, SteadyTime now, std::optional<Millis> after) {
  const auto at = entries_.find(id);
  if (at == entries_.end()) return;
  Entry& entry = at->second;
  if (!entry.in_flight) return;
  entry.in_flight = false;
  --flying_;
  const bool answered_others = heard_ > entry.last;
  entry.futile = entry.hinted ? entry.futile + 1 : 0;
  entry.hinted = false;
  Millis pause = entry.backoff.next(rng_, std::nullopt).value_or(kOwn.max);
  if (after) {
    const Millis asked = std::min(*after, kLongestAfter);
    entry.held = now + asked;
    pause = std::max(pause, asked);
  }
  set_due(*at, now + pause);
  if (answered_others || away_) return;
  away_ = true;
  proven_ = false;
  probe_at_ = now + server_.next(rng_, std::nullopt).value_or(kServer.max);
}

void OutboxCore::probe_failed(SteadyTime now) {
  probing_ = false;
  if (away_) probe_at_ = now + server_.next(rng_, std::nullopt).value_or(kServer.max);
}

void OutboxCore::heard(SteadyTime now) {
  heard_ = now;
  probing_ = false;
  if (!away_) return;
  away_ = false;
  server_.reset();
  for (auto& entry : entries_) {
    Entry& receipt = entry.second;
    if (receipt.in_flight || receipt.due <= now) continue;
    const auto spacing = std::min<std::chrono::seconds>(
        kAfterLast * (1 << std::min(receipt.futile, kMostDoublings)), kAfterLastMost);
    const SteadyTime soon = std::max({now, receipt.last + spacing, receipt.held});
    if (soon >= receipt.due) continue;
    receipt.hinted = true;
    set_due(entry, soon);
  }
}

bool OutboxCore::in_flight(RowId id) const {
  const auto at = entries_.find(id);
  return at != entries_.end() && at->second.in_flight;
}

bool OutboxCore::delayed(RowId id) const {
  const auto at = entries_.find(id);
  if (at == entries_.end() || at->second.in_flight) return false;
  return at->second.backoff.failures() > 0 || away_;
}

}  // namespace pn::node
