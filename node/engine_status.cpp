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
  const SteadyTime now = parts_.clock.steady_now();
  for (const Slot& slot : tasks_) {
    SlotStatus status;
    status.task = slot.run->task();
    status.capability = slot.capability;
    status.phase = "running";
    status.age = std::chrono::duration_cast<Millis>(now - slot.leased_at);
    out.push_back(std::move(status));
  }
  return out;
}

std::vector<PastTask> Engine::past() const { return {past_.begin(), past_.end()}; }

std::vector<CapabilityStatus> Engine::capabilities() const {
  std::vector<CapabilityStatus> out;
  for (const Capability& capability : parts_.registry.capabilities()) {
    CapabilityStatus status;
    status.capability = capability;
    status.busy =
        static_cast<std::size_t>(std::ranges::count(tasks_, capability, &Slot::capability));
    const auto cap = parts_.config.capability_concurrency.find(capability);
    if (cap != parts_.config.capability_concurrency.end()) status.cap = cap->second;
    out.push_back(std::move(status));
  }
  return out;
}

std::vector<DiskStatus> Engine::disks() const { return {}; }

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
    out.push_back("all " + std::to_string(parts_.config.max_concurrency) +
                  " slots are busy: MAX_CONCURRENCY sets how many there are");
  }
  if (status_.last_error) {
    out.push_back("the last poll failed, and is tried again: " + to_string(*status_.last_error));
  }
  return out;
}

}  // namespace pn::node
