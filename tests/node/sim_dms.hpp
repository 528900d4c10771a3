#pragma once

#include "base/json.hpp"
#include "base/rng.hpp"
#include "base/time.hpp"
#include "tests/node/fake_dms.hpp"
#include "tests/support/fake_clock.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include <nlohmann/json.hpp>

namespace pn::node::testing {

/// DMS with leases that end: the rules of wire.md, and a count of what must never happen.
/// Pure but for the clock.
class SimDms final {
 public:
  SimDms(FakeClock& clock, std::chrono::milliseconds ttl, bool lease_ids)
      : clock_(clock), ttl_(ttl), lease_ids_(lease_ids) {}

  void add(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) queue_.push_back(tasks_.size() + i);
    tasks_.resize(tasks_.size() + count);
  }

  Reply claim(const std::string& node) {
    sweep();
    if (queue_.empty()) return Reply(204, std::string());
    const std::size_t id = queue_.front();
    queue_.pop_front();
    Task& task = tasks_[id];
    task.held = true;
    task.holder = node;
    task.lease = "L" + std::to_string(++leases_);
    ++task.attempts;
    renew(id);
    Json body = envelope(clock_, name(id), ttl_);
    body["task"]["attempts"] = task.attempts;
    if (lease_ids_) body["lease_id"] = task.lease;
    return Reply(200, body);
  }

  Reply heartbeat(const std::string& node, const std::string& id, const Json& body) {
    sweep();
    const auto at = number(id);
    if (!holds(node, at, body)) return Reply(409, std::string());
    renew(at);
    return Reply(200, Json{{"lease_expires_at", format_rfc3339(clock_.system_now() + ttl_)}});
  }

  Reply complete(const std::string& node, const std::string& id, const Json& body) {
    sweep();
    const auto at = number(id);
    Task& task = tasks_[at];
    const std::string outputs = dump_json(body["output_cids"]);
    if (task.completed) {
      // The same again, from one who does not know that the first arrived.
      if (task.holder != node || (lease_ids_ && body.value("lease_id", "") != task.lease)) {
        return refuse();
      }
      if (outputs != task.outputs) ++accepted_twice;
      ++repeats;
      return Reply(200, Json::object());
    }
    if (!holds(node, at, body)) return refuse();
    task.completed = true;
    task.held = false;
    task.outputs = outputs;
    ++completed;
    return Reply(200, Json::object());
  }

  Reply fail(const std::string& node, const std::string& id, const Json& body) {
    sweep();
    const auto at = number(id);
    if (!holds(node, at, body)) return refuse();
    ++failed;
    requeue(at);
    return Reply(200, Json::object());
  }

  /// Something of the task's was written by this attempt of this node's.
  void wrote(const std::string& node, const std::string& id, int attempt) {
    sweep();
    const Task& task = tasks_[number(id)];
    const bool mine = task.held && task.holder == node && task.attempts == attempt;
    if (!mine) ++foreign_writes;
  }

  [[nodiscard]] std::size_t lost() const { return tasks_.size() - completed; }
  [[nodiscard]] std::uint64_t leases() const { return leases_; }

  std::size_t completed = 0;
  std::size_t failed = 0;
  std::size_t expired = 0;
  std::size_t refused = 0;
  std::size_t repeats = 0;
  std::size_t accepted_twice = 0;
  std::size_t foreign_writes = 0;

 private:
  struct Task {
    bool held = false;
    bool completed = false;
    std::string holder;
    std::string lease;
    std::string outputs;
    SteadyTime expires{};
    int attempts = 0;
  };

  static std::string name(std::size_t id) { return "t" + std::to_string(id); }
  static std::size_t number(const std::string& id) { return std::stoul(id.substr(1)); }

  [[nodiscard]] bool holds(const std::string& node, std::size_t id, const Json& body) const {
    const Task& task = tasks_[id];
    if (!task.held || task.holder != node) return false;
    return !lease_ids_ || body.value("lease_id", "") == task.lease;
  }
  Reply refuse() {
    ++refused;
    return Reply(409, std::string());
  }
  void renew(std::size_t id) {
    expiring_.erase({tasks_[id].expires, id});
    tasks_[id].expires = clock_.steady_now() + ttl_;
    expiring_.insert({tasks_[id].expires, id});
  }
  void requeue(std::size_t id) {
    expiring_.erase({tasks_[id].expires, id});
    tasks_[id].held = false;
    queue_.push_back(id);
  }
  void sweep() {
    while (!expiring_.empty() && expiring_.begin()->first <= clock_.steady_now()) {
      const std::size_t id = expiring_.begin()->second;
      expiring_.erase(expiring_.begin());
      if (!tasks_[id].held) continue;
      ++expired;
      tasks_[id].held = false;
      queue_.push_back(id);
    }
  }

  FakeClock& clock_;
  const std::chrono::milliseconds ttl_;
  const bool lease_ids_;
  std::deque<Task> tasks_;
  std::deque<std::size_t> queue_;
  std::set<std::pair<SteadyTime, std::size_t>> expiring_;
  std::uint64_t leases_ = 0;
};

}  // namespace pn::node::testing
