#include "node/status_report.hpp"

#include "auth/node_session.hpp"
#include "base/time.hpp"
#include "node/engine.hpp"
#include "node/health.hpp"
#include "node/metrics.hpp"
#include "node/node_cache.hpp"
#include "node/node_status.hpp"
#include "storage/input_cache.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <utility>

namespace pn::node {
namespace {

/// The server's clock less ours, by whom we heard last; nothing before an answer.
std::optional<Millis> clock_skew(const StatusReport::Parts& parts) {
  if (parts.engine.status().last_answer) {
    return std::chrono::duration_cast<Millis>(parts.dms.server_time().offset());
  }
  const auth::SessionStatus session = parts.session.status();
  if (session.state != auth::SessionState::signed_in) return std::nullopt;
  return session.clock_skew;
}

std::optional<CacheStatus> cache_status(const StatusReport::Parts& parts) {
  if (parts.cache == nullptr) return std::nullopt;
  const storage::InputCache::Stats stats = parts.cache->stats();
  return CacheStatus{.path = cache_folder(parts.config).string(),
                     .bytes = stats.bytes,
                     .max_bytes = stats.max_bytes,
                     .entries = stats.entries,
                     .hits = stats.hits,
                     .misses = stats.misses,
                     .evicted_bytes = stats.evicted_bytes};
}

}  // namespace

HealthFacts StatusReport::facts() const {
  HealthFacts out;
  out.now = parts_.clock.steady_now();
  auth::SessionStatus session = parts_.session.status();
  out.session = session.state;
  out.session_error = std::move(session.last_error);
  out.token_remaining = session.token_remaining;
  const PollStatus& polled = parts_.engine.status();
  out.asking = polled.asking;
  out.last_answer = polled.last_answer;
  out.poll_error = polled.last_error;
  if (parts_.engine.next_turn_by() != SteadyTime::max()) {
    out.next_turn_by = parts_.engine.next_turn_by();
  }
  out.stopping = parts_.standing.stopping;
  out.engine_reasons = parts_.engine.reasons();
  return out;
}

NodeStatus StatusReport::status() const {
  NodeStatus out;
  out.version = parts_.config.node_version;
  out.address = parts_.session.address().str();
  out.dms = parts_.config.dms_base_url.str();
  out.dds = parts_.config.dds_base_url.str();
  out.status_url = parts_.standing.status_url;
  out.started_at = parts_.standing.started_at;
  out.now = parts_.clock.system_now();
  out.slots = parts_.config.max_concurrency;
  out.busy = parts_.engine.slots();
  out.capabilities = parts_.engine.capabilities();
  out.past = parts_.engine.past();
  out.outbox = parts_.outbox.status();
  out.disks = parts_.engine.disks();
  out.cache = cache_status(parts_);
  out.clock_skew = clock_skew(parts_);
  if (parts_.engine.paused()) out.pause = Pause{.until = parts_.engine.paused_until()};
  judge(facts(), out);
  return out;
}

std::string StatusReport::metrics() const {
  const NodeStatus now = status();
  Metrics& metrics = parts_.metrics;
  metrics.set_slots(parts_.engine.busy(), now.slots);
  metrics.set_outbox(now.outbox.pending, now.outbox.set_aside);
  for (const DiskStatus& disk : now.disks) metrics.set_disk_free(disk.folder, disk.free_bytes);
  if (now.cache) metrics.set_cache(*now.cache);
  if (now.clock_skew) metrics.set_clock_skew(*now.clock_skew);
  for (const CapabilityStatus& one : now.capabilities) {
    metrics.set_breaker(one.capability, !one.paused.empty());
  }
  for (const Check& check : now.checks) metrics.set_check(check.name, check.ok);
  return metrics.text();
}

}  // namespace pn::node
