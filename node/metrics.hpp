#pragma once

#include "base/ids.hpp"
#include "base/time.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace pn::node {

struct CacheStatus;

/// What a node counts, in Prometheus' terms: every `posenode_*` name stands in metrics.cpp and in
/// docs/reference/metrics.md, and nowhere else. Counters only grow; gauges are set by who knows.
/// Nothing leaves the node but by /metrics. Thread: any.
class Metrics final {
 public:
  Metrics();
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  // polling
  enum class Poll { lease, nothing, error };
  void polled(Poll how);
  /// From the claim's sending to the runner's start.
  void dispatched(const Capability& capability, Millis took);
  /// 0 closed, 1 open: a capability that is not leased after quick failures.
  void set_breaker(const Capability& capability, bool open);

  // leases and heartbeats
  /// `late`: how long after its due time it went out.
  void heartbeat_sent(Millis late);
  void heartbeat_failed();
  enum class LeaseLoss { canceled, lost, fenced };
  void lease_ended(LeaseLoss how);
  void events_dropped(std::uint64_t count);

  // tasks
  enum class TaskEnd { completed, failed, dropped };
  void task_ended(const Capability& capability, TaskEnd how, Millis took);
  void set_slots(std::size_t busy, std::size_t all);

  // outbox
  enum class Delivery { sent, delayed, refused, expired };
  void receipt(Delivery how);
  void set_outbox(std::size_t pending, std::size_t set_aside);

  // the machine
  void set_disk_free(std::string_view folder, std::uint64_t bytes);  ///< "work" or "state"
  /// Counters too: they are counted by the cache, from its opening on.
  void set_cache(const CacheStatus& cache);
  void set_clock_skew(Millis skew);
  /// Each check of /readyz.
  void set_check(std::string_view name, bool ok);

  /// The text exposition format, version 0.0.4.
  [[nodiscard]] std::string text() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pn::node
