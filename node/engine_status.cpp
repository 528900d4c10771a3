#include "base/ids.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "node/engine.hpp"
#include "node/node_status.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace pn::node {

std::vector<SlotStatus> Engine::slots() const {
  std::vector<SlotStatus> out;
  for (const Slot& slot : tasks_) out.push_back(slot.run->status());
  return out;
}

std::vector<PastTask> Engine::past() const { return {past_.begin(), past_.end()}; }

std::vector<CapabilityStatus> Engine::capabilities() const {
  std::vector<CapabilityStatus> out;
  for (const Capability& capability : parts_.registry.capabilities()) {
    CapabilityStatus status;
    status.capability = capability;
    status.busy = static_cast<std::size_t>(std::ranges::count_if(tasks_, [&](const Slot& slot) {
      return slot.capability == capability && !slot.run->lingers();
    }));
    status.cap = choice_.cap(capability);
    status.paused = why_paused(capability);
    out.push_back(std::move(status));
  }
  return out;
}

/// By the breaker.
std::string Engine::why_paused(const Capability& capability) const {
  const auto found = breakers_.find(capability);
  if (found == breakers_.end() || !found->second.open()) return "";
  const BreakerCore& breaker = found->second;
  std::string out = capability.str() + " failed " + std::to_string(breaker.in_a_row()) +
                    " times in a row within " + format_duration(parts_.config.breaker_window) +
                    " of its lease: ";
  const auto next = breaker.next_probe();
  const SteadyTime now = parts_.clock.steady_now();
  if (!next) {
    out += "one task is being tried now";
  } else if (*next <= now) {
    out += "one more task is tried next";
  } else {
    out += "one more task is tried in " + format_duration(*next - now);
  }
  return out + "; see why its last tasks failed";
}

std::vector<DiskStatus> Engine::disks() const { return disk_.disks(); }

std::vector<std::string> Engine::reasons() const {
  std::vector<std::string> out;
  if (stopping_) {
    out.emplace_back("the node drains: it finishes what runs, and leases nothing more");
    return out;
  }
  if (paused()) {
    const std::optional<SystemTime> until = paused_until();
    out.push_back("the node is paused" + (until ? " until " + format_rfc3339(*until) : "") +
                  ": `posenode resume` ends that");
  }
  if (full()) {
    out.push_back("all " + std::to_string(busy()) +
                  " slots are busy: MAX_CONCURRENCY sets how many there are");
    return out;
  }
  for (const DiskStatus& disk : disk_.disks()) {
    if (!disk.fault.empty()) out.push_back(disk.fault);
  }
  if (!parts_.outbox.durable()) {
    out.emplace_back(
        "STATE_DIR takes no writes: make room there, or see that it is writable; outcomes are in "
        "memory until then");
  }
  bool open = false;
  std::vector<std::string> closed;
  for (const CapabilityStatus& capability : capabilities()) {
    if (!capability.paused.empty()) {
      closed.push_back(capability.paused);
    } else if (capability.cap && capability.busy >= *capability.cap) {
      closed.push_back(capability.capability.str() + " is at its cap of " +
                       std::to_string(*capability.cap) +
                       ": CAPABILITY_CONCURRENCY sets how many at a time");
    } else {
      open = true;
    }
  }
  if (!open) out.insert(out.end(), closed.begin(), closed.end());
  if (status_.last_error) {
    out.push_back("the last poll failed, and is tried again: " + to_string(*status_.last_error));
  }
  return out;
}

}  // namespace pn::node
