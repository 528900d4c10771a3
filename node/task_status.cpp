#include "base/time.hpp"
#include "node/node_status.hpp"
#include "node/task_run.hpp"

#include <chrono>
#include <cstddef>
#include <string_view>

namespace pn::node {

PastTask TaskRun::past() const {
  PastTask out = past_;
  out.task = lease_.task.id;
  out.job = lease_.task.job;
  out.capability = lease_.task.capability;
  out.attempt = lease_.task.attempt;
  return out;
}

SlotStatus TaskRun::status() const {
  constexpr std::string_view kPhases[] = {
      "set_up", "running", "stopping", "flushing", "reporting", "cleaning_up"};
  const SteadyTime now = parts_.clock.steady_now();
  SlotStatus out;
  out.task = lease_.task.id;
  out.job = lease_.task.job;
  out.capability = lease_.task.capability;
  out.attempt = lease_.task.attempt;
  out.max_attempts = lease_.task.max_attempts;
  out.phase = kPhases[static_cast<std::size_t>(phase_)];
  out.age = std::chrono::duration_cast<Millis>(now - began_);
  out.progress_json = progress_;
  if (beats_.fence() != SteadyTime::max()) {
    out.lease_left = std::chrono::duration_cast<Millis>(beats_.fence() - now);
  }
  out.heartbeat_failures = beats_.failures();
  out.lingers = lingers_;
  return out;
}

}  // namespace pn::node
