#include "node/metrics.hpp"

#include "base/ids.hpp"
#include "base/time.hpp"
#include "node/node_status.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

namespace pn::node {
namespace {

using Labels = std::map<std::string, std::string>;
using Counters = prometheus::Family<prometheus::Counter>;
using Gauges = prometheus::Family<prometheus::Gauge>;
using Histograms = prometheus::Family<prometheus::Histogram>;

/// A peer's texts become label values: a server that makes names up must not fill our memory.
constexpr std::size_t kMostCapabilities = 256;

Counters& counter(prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry);
}
Gauges& gauge(prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(registry);
}
Histograms& histogram(prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::BuildHistogram().Name(name).Help(help).Register(registry);
}

double seconds(Millis time) { return static_cast<double>(time.count()) / 1000.0; }

prometheus::Histogram::BucketBoundaries latency_buckets() {
  return {0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10};
}
prometheus::Histogram::BucketBoundaries task_buckets() {
  return {0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600, 14'400, 86'400};
}

}  // namespace

struct Metrics::Impl {
  prometheus::Registry registry;

  Counters& polls = counter(registry, "posenode_polls_total", "Requests for work, by result.");
  Histograms& dispatch = histogram(
      registry, "posenode_dispatch_seconds", "From the claim's sending to the runner's start.");
  Gauges& breaker = gauge(
      registry, "posenode_breaker_open", "1 while a capability is paused after quick failures.");
  Histograms& beats = histogram(registry,
                                "posenode_heartbeat_lateness_seconds",
                                "How long after its due time a heartbeat went out.");
  Counters& beat_failures = counter(registry,
                                    "posenode_heartbeat_failures_total",
                                    "Heartbeats that were not accepted, and tried again.");
  Counters& leases = counter(
      registry, "posenode_leases_ended_total", "Leases that ended before their task, by how.");
  Counters& dropped = counter(
      registry, "posenode_events_dropped_total", "Events of runners that no heartbeat carried.");
  Counters& tasks =
      counter(registry, "posenode_tasks_total", "Tasks that ended, by capability and outcome.");
  Histograms& durations =
      histogram(registry, "posenode_task_seconds", "From the lease to the outcome.");
  Gauges& slots = gauge(registry, "posenode_slots", "Slots, busy and all.");
  Counters& receipts =
      counter(registry, "posenode_receipts_total", "Outcomes and what became of them.");
  Gauges& outbox = gauge(registry,
                         "posenode_outbox_entries",
                         "Outcomes in the outbox: pending, or set aside for good.");
  Gauges& disk = gauge(registry, "posenode_disk_free_bytes", "Free space, by folder.");
  Gauges& cache =
      gauge(registry, "posenode_cache_bytes", "What the input cache has of WORK_DIR's disk.");
  Counters& cache_hits =
      counter(registry, "posenode_cache_hits_total", "Inputs that were taken from the cache.");
  Counters& cache_misses =
      counter(registry, "posenode_cache_misses_total", "Inputs that were not in the cache.");
  Counters& cache_evicted =
      counter(registry, "posenode_cache_evicted_bytes_total", "What left the cache for room.");
  Gauges& skew =
      gauge(registry, "posenode_clock_skew_seconds", "The server's clock less this machine's.");
  Gauges& check = gauge(registry, "posenode_check_ok", "1 for each check of /readyz that holds.");

  std::mutex mutex;  // of `capabilities`
  std::set<Capability> capabilities;

  /// The label of a capability: a lease may name any.
  std::string label(const Capability& capability) {
    const std::lock_guard lock(mutex);
    if (capabilities.size() < kMostCapabilities) capabilities.insert(capability);
    return capabilities.contains(capability) ? capability.str() : "other";
  }
};

Metrics::Metrics() : impl_(std::make_unique<Impl>()) {
  // What did not happen yet is 0 and not absent, so that a rate can be taken from the first time.
  for (const char* result : {"lease", "nothing", "error"}) impl_->polls.Add({{"result", result}});
  for (const char* how : {"canceled", "lost", "fenced"}) impl_->leases.Add({{"how", how}});
  for (const char* result : {"sent", "delayed", "refused", "expired"}) {
    impl_->receipts.Add({{"result", result}});
  }
  impl_->beat_failures.Add(Labels());
  impl_->dropped.Add(Labels());
  impl_->beats.Add(Labels(), latency_buckets());
  for (const char* state : {"pending", "set_aside"}) impl_->outbox.Add({{"state", state}});
  set_cache(CacheStatus());
}

Metrics::~Metrics() = default;

void Metrics::polled(Poll how) {
  const char* result = how == Poll::lease ? "lease" : how == Poll::nothing ? "nothing" : "error";
  impl_->polls.Add({{"result", result}}).Increment();
}

void Metrics::dispatched(const Capability& capability, Millis took) {
  impl_->dispatch.Add({{"capability", impl_->label(capability)}}, latency_buckets())
      .Observe(seconds(took));
}

void Metrics::set_breaker(const Capability& capability, bool open) {
  impl_->breaker.Add({{"capability", impl_->label(capability)}}).Set(open ? 1 : 0);
}

void Metrics::heartbeat_sent(Millis late) {
  impl_->beats.Add(Labels(), latency_buckets()).Observe(seconds(late));
}

void Metrics::heartbeat_failed() { impl_->beat_failures.Add(Labels()).Increment(); }

void Metrics::lease_ended(LeaseLoss how) {
  const char* text = how == LeaseLoss::canceled ? "canceled"
                     : how == LeaseLoss::lost   ? "lost"
                                                : "fenced";
  impl_->leases.Add({{"how", text}}).Increment();
}

void Metrics::events_dropped(std::uint64_t count) {
  impl_->dropped.Add(Labels()).Increment(static_cast<double>(count));
}

void Metrics::task_ended(const Capability& capability, TaskEnd how, Millis took) {
  const char* outcome = how == TaskEnd::completed ? "completed"
                        : how == TaskEnd::failed  ? "failed"
                                                  : "dropped";
  const std::string label = impl_->label(capability);
  impl_->tasks.Add({{"capability", label}, {"outcome", outcome}}).Increment();
  impl_->durations.Add({{"capability", label}}, task_buckets()).Observe(seconds(took));
}

void Metrics::set_slots(std::size_t busy, std::size_t all) {
  impl_->slots.Add({{"state", "busy"}}).Set(static_cast<double>(busy));
  impl_->slots.Add({{"state", "all"}}).Set(static_cast<double>(all));
}

void Metrics::receipt(Delivery how) {
  const char* result = how == Delivery::sent      ? "sent"
                       : how == Delivery::delayed ? "delayed"
                       : how == Delivery::refused ? "refused"
                                                  : "expired";
  impl_->receipts.Add({{"result", result}}).Increment();
}

void Metrics::set_outbox(std::size_t pending, std::size_t set_aside) {
  impl_->outbox.Add({{"state", "pending"}}).Set(static_cast<double>(pending));
  impl_->outbox.Add({{"state", "set_aside"}}).Set(static_cast<double>(set_aside));
}

void Metrics::set_disk_free(std::string_view folder, std::uint64_t bytes) {
  impl_->disk.Add({{"folder", std::string(folder)}}).Set(static_cast<double>(bytes));
}

void Metrics::set_cache(const CacheStatus& cache) {
  const auto grow = [](Counters& counters, std::uint64_t to) {
    prometheus::Counter& one = counters.Add(Labels());
    one.Increment(std::max(0.0, static_cast<double>(to) - one.Value()));
  };
  impl_->cache.Add(Labels()).Set(static_cast<double>(cache.bytes));
  grow(impl_->cache_hits, cache.hits);
  grow(impl_->cache_misses, cache.misses);
  grow(impl_->cache_evicted, cache.evicted_bytes);
}

void Metrics::set_clock_skew(Millis skew) { impl_->skew.Add(Labels()).Set(seconds(skew)); }

void Metrics::set_check(std::string_view name, bool ok) {
  impl_->check.Add({{"check", std::string(name)}}).Set(ok ? 1 : 0);
}

std::string Metrics::text() const {
  const prometheus::TextSerializer serializer;
  return serializer.Serialize(impl_->registry.Collect());
}

}  // namespace pn::node
