#include "node/status_json.hpp"

#include "base/json.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "node/node_status.hpp"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

namespace pn::node {
namespace {

/// Texts of others: a page that is read every two seconds holds no more of each.
constexpr std::size_t kTextLimit = 500;

std::string brief(std::string_view text) {
  if (text.size() <= kTextLimit) return std::string(text);
  return std::string(text.substr(0, kTextLimit)) + "...";
}

Json millis(const std::optional<Millis>& time) { return time ? Json(time->count()) : Json(); }

Json checks_json(const std::vector<Check>& checks) {
  Json out = Json::array();
  for (const Check& check : checks) {
    out.push_back({{"name", check.name}, {"ok", check.ok}, {"detail", brief(check.detail)}});
  }
  return out;
}

Json slot_json(const SlotStatus& slot) {
  Result<Json> progress = parse_json(slot.progress_json);
  return {{"task_id", slot.task.str()},
          {"job_id", slot.job.str()},
          {"capability", slot.capability.str()},
          {"attempt", slot.attempt},
          {"max_attempts", slot.max_attempts},
          {"phase", slot.phase},
          {"age_ms", slot.age.count()},
          {"lease_left_ms", millis(slot.lease_left)},
          {"heartbeat_failures", slot.heartbeat_failures},
          {"lingers", slot.lingers},
          {"progress", progress ? *std::move(progress) : Json::object()}};
}

Json capability_json(const CapabilityStatus& one) {
  return {{"capability", one.capability.str()},
          {"busy", one.busy},
          {"cap", one.cap ? Json(*one.cap) : Json()},
          {"paused", one.paused}};
}

Json task_json(const PastTask& task) {
  return {{"task_id", task.task.str()},
          {"job_id", task.job.str()},
          {"capability", task.capability.str()},
          {"attempt", task.attempt},
          {"outcome", task.outcome},
          {"reason", brief(task.reason)},
          {"error", brief(task.error)},
          {"ended_at", format_rfc3339(task.ended_at)},
          {"took_ms", task.took.count()}};
}

Json outbox_json(const OutboxStatus& outbox) {
  Json last = Json::array();
  for (const SetAside& one : outbox.last_set_aside) {
    last.push_back({{"task_id", one.task.str()},
                    {"outcome", one.outcome},
                    {"answer", brief(one.answer)},
                    {"at", format_rfc3339(one.at)}});
  }
  return {{"pending", outbox.pending},
          {"oldest_ms", millis(outbox.oldest)},
          {"set_aside", outbox.set_aside},
          {"last_set_aside", std::move(last)},
          {"last_error", brief(outbox.last_error)},
          {"durable", outbox.durable}};
}

Json disk_json(const DiskStatus& disk) {
  return {{"folder", disk.folder},
          {"path", disk.path},
          {"free_bytes", disk.free_bytes},
          {"used_pct", disk.used_pct},
          {"inodes_used_pct", disk.inodes_used_pct},
          {"fault", disk.fault}};
}

Json cache_json(const std::optional<CacheStatus>& cache) {
  if (!cache) return {};
  return {{"path", cache->path},
          {"bytes", cache->bytes},
          {"max_bytes", cache->max_bytes},
          {"entries", cache->entries},
          {"hits", cache->hits},
          {"misses", cache->misses},
          {"evicted_bytes", cache->evicted_bytes}};
}

template <class T>
Json list(const std::vector<T>& items, Json (*one)(const T&)) {
  Json out = Json::array();
  for (const T& item : items) out.push_back(one(item));
  return out;
}

Json pause_json(const std::optional<Pause>& pause) {
  if (!pause) return {};
  return {{"until", pause->until ? Json(format_rfc3339(*pause->until)) : Json()}};
}

}  // namespace

std::string status_json(const NodeStatus& status) {
  const Json body{{"version", status.version},
                  {"address", status.address},
                  {"dms", status.dms},
                  {"dds", status.dds},
                  {"status_url", status.status_url},
                  {"started_at", format_rfc3339(status.started_at)},
                  {"now", format_rfc3339(status.now)},
                  {"state", status.state},
                  {"ready", ready(status.checks)},
                  {"reasons", status.reasons},
                  {"checks", checks_json(status.checks)},
                  {"slots", {{"all", status.slots}, {"busy", list(status.busy, slot_json)}}},
                  {"capabilities", list(status.capabilities, capability_json)},
                  {"tasks", list(status.past, task_json)},
                  {"outbox", outbox_json(status.outbox)},
                  {"disks", list(status.disks, disk_json)},
                  {"cache", cache_json(status.cache)},
                  {"clock_skew_ms", millis(status.clock_skew)},
                  {"pause", pause_json(status.pause)}};
  return dump_json(body);
}

bool ready(const std::vector<Check>& checks) {
  return std::all_of(checks.begin(), checks.end(), [](const Check& check) { return check.ok; });
}

std::string readiness_json(const std::vector<Check>& checks) {
  const Json body{{"ready", ready(checks)}, {"checks", checks_json(checks)}};
  return dump_json(body);
}

}  // namespace pn::node
