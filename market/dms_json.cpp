#include "market/dms_json.hpp"

#include "base/json.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "market/job_queries.hpp"
#include "market/job_spec.hpp"
#include "market/job_store.hpp"
#include "market/jobs_service.hpp"
#include "market/task_events.hpp"
#include "market/task_rules.hpp"
#include "market/tokens.hpp"

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

namespace pn::market {
namespace {

/// JSON of ours from a column; null would tell of a damaged one.
Json stored(const std::string& text) { return Json::parse(text, nullptr, false); }

void add_spec(Json& json, const TaskSpecRow& spec) {
  json["label"] = spec.label;
  json["stage"] = spec.stage;
  json["capability"] = spec.capability.str();
  json["capability_filters"] = stored(spec.filters);
  json["mode"] = spec.mode;
  json["inputs_cids"] = stored(spec.inputs);
  json["meta"] = stored(spec.meta);
  json["billing_units"] = spec.billing_units;
  if (spec.outputs_prefix) json["outputs_prefix"] = *spec.outputs_prefix;
  if (spec.organization_filter) json["organization_filter"] = *spec.organization_filter;
}

void add_state(Json& json, const TaskRow& task) {
  json["id"] = task.id.str();
  json["job_id"] = task.job_id.str();
  json["status"] = name(task.state.status);
  json["priority"] = task.priority;
  json["attempts"] = task.state.attempts;
  json["max_attempts"] = task.state.max_attempts;
  json["deps_remaining"] = task.state.deps_remaining;
}

void add_time(Json& json, const char* key, SystemTime time) {
  if (time > SystemTime()) json[key] = format_rfc3339(time);
}

void add_token(Json& json, const MintedToken& token) {
  json["access_token"] = token.text;
  json["access_token_expires_at"] = format_rfc3339(token.expires);
}

}  // namespace

Json lease_json(const Lease& lease, const std::string& domain_server_url) {
  const TaskRow& row = lease.row.task;
  Json task;
  add_state(task, row);
  add_spec(task, lease.row.spec);
  add_time(task, "lease_expires_at", row.state.lease_expires);
  Json json{{"lease_id", row.state.lease.str()},
            {"lease_expires_at", format_rfc3339(row.state.lease_expires)},
            {"cancel", false},
            {"status", name(row.state.status)},
            {"domain_id", row.domain.str()},
            {"domain_server_url", domain_server_url},
            {"task", std::move(task)}};
  add_token(json, lease.token);
  return json;
}

Json heartbeat_json(const HeartbeatAnswer& answer, const std::string& domain_server_url) {
  const TaskRow& row = answer.task;
  Json json{{"lease_id", row.state.lease.str()},
            {"lease_expires_at", format_rfc3339(row.state.lease_expires)},
            {"cancel", answer.cancel},
            {"status", name(row.state.status)},
            {"domain_id", row.domain.str()},
            {"domain_server_url", domain_server_url},
            {"task_id", row.id.str()},
            {"job_id", row.job_id.str()},
            {"attempts", row.state.attempts},
            {"max_attempts", row.state.max_attempts},
            {"deps_remaining", row.state.deps_remaining}};
  if (answer.token) add_token(json, *answer.token);
  return json;
}

Json job_json(const JobRow& job) {
  return {{"id", job.id.str()},
          {"label", job.label},
          {"domain_id", job.domain.str()},
          {"organization_id", job.organization.str()},
          {"status", name(job.status)},
          {"priority", job.priority},
          {"meta", stored(job.meta)},
          {"created_at", format_rfc3339(job.created)},
          {"updated_at", format_rfc3339(job.updated)}};
}

Json counts_json(const TaskCounts& counts) {
  Json json = Json::object();
  for (std::size_t i = 0; i < counts.size(); ++i) {
    json[std::string(name(static_cast<TaskStatus>(i)))] = counts.at(i);
  }
  return json;
}

Json task_json(const ShownTask& shown) {
  const TaskRow& row = shown.task;
  Json json;
  add_state(json, row);
  add_spec(json, shown.spec);
  json["organization_id"] = row.organization.str();
  json["created_at"] = format_rfc3339(shown.created);
  json["updated_at"] = format_rfc3339(shown.updated);
  if (!row.state.node.empty()) json["reserved_by"] = row.state.node.str();
  add_time(json, "lease_expires_at", row.state.lease_expires);
  add_time(json, "last_heartbeat_at", row.state.last_heartbeat);
  add_time(json, "cancel_requested_at", row.state.cancel_requested);
  json["meta"]["progress"] = stored(row.progress);
  json["meta"]["events"] = stored(row.events);
  return json;
}

Json receipt_json(const JobId& job, const ShownAttempt& attempt) {
  return {{"id", attempt.id},
          {"job_id", job.str()},
          {"task_id", attempt.task.str()},
          {"node_id", attempt.node.str()},
          {"outputs", stored(attempt.outputs)},
          {"meta", stored(attempt.meta)},
          {"created_at", format_rfc3339(attempt.ended)},
          {"attempt", attempt.attempt},
          {"outcome", attempt.outcome},
          {"reason", attempt.reason}};
}

Json attempt_json(const ShownAttempt& attempt) {
  return {{"task_id", attempt.task.str()},
          {"attempt", attempt.attempt},
          {"node_id", attempt.node.str()},
          {"outcome", attempt.outcome},
          {"reason", attempt.reason},
          {"started_at", format_rfc3339(attempt.started)},
          {"ended_at", format_rfc3339(attempt.ended)}};
}

Json estimate_json(const JobSpec& spec) {
  // Nothing is charged yet; the wire wants decimal strings.
  Json tasks = Json::array();
  for (const TaskSpec& task : spec.tasks) {
    tasks.push_back({{"label", task.label},
                     {"stage", task.stage},
                     {"capability", task.capability.str()},
                     {"mode", task.mode},
                     {"billing_units", task.billing_units},
                     {"estimated_credit_cost", "0"}});
  }
  return {{"total", "0"}, {"tasks", std::move(tasks)}};
}

Json busy_json(const BusyNode& node) {
  return {{"node_id", node.node.str()},
          {"task_id", node.task.str()},
          {"job_id", node.job.str()},
          {"capability", node.capability.str()},
          {"lease_expires_at", format_rfc3339(node.lease_expires)}};
}

Result<HeartbeatReport> parse_heartbeat(const Json& json) {
  JsonFields fields(json, "heartbeat");
  HeartbeatReport report;
  report.who.lease = LeaseId(fields.string("lease_id").value_or(""));
  report.progress = fields.raw("progress");
  if (const Json* events = fields.array("events")) {
    // No more than could be kept.
    const std::size_t first = events->size() - std::min(events->size(), kEventsKept);
    for (std::size_t i = first; i < events->size(); ++i) {
      report.events.push_back(dump_json((*events)[i]));
    }
  }
  const auto done = fields.done();
  if (!done.ok()) return done.error();
  return report;
}

Result<ReceiptReport> parse_complete(const Json& json) {
  JsonFields fields(json, "receipt");
  ReceiptReport report;
  report.success = true;
  report.who.lease = LeaseId(fields.string("lease_id").value_or(""));
  const auto outputs = fields.strings("output_cids").value_or(std::vector<std::string>());
  report.outputs = dump_json(Json(outputs));
  if (const Json* meta = fields.object("meta")) report.meta = dump_json(*meta);
  const auto done = fields.done();
  if (!done.ok()) return done.error();
  return report;
}

Result<ReceiptReport> parse_fail(const Json& json) {
  constexpr std::size_t kReasonLimit = 4096;
  JsonFields fields(json, "receipt");
  ReceiptReport report;
  report.who.lease = LeaseId(fields.string("lease_id").value_or(""));
  report.reason = fields.string("reason").value_or("no reason given").substr(0, kReasonLimit);
  if (const Json* details = fields.object("details")) {
    report.meta = dump_json(*details);
    const auto retryable = details->find("retryable");
    if (retryable != details->end() && retryable->is_boolean() && !retryable->get<bool>()) {
      report.retryable = false;
    }
    // What was uploaded before the failure stands in the receipt like that of a success.
    const auto artifacts = details->find("artifacts");
    Json outputs = Json::array();
    if (artifacts != details->end() && artifacts->is_array()) {
      for (const Json& artifact : *artifacts) {
        if (!artifact.is_object()) continue;
        const auto id = artifact.find("id");
        if (id != artifact.end() && id->is_string()) outputs.push_back(*id);
      }
    }
    report.outputs = dump_json(outputs);
  }
  const auto done = fields.done();
  if (!done.ok()) return done.error();
  return report;
}

}  // namespace pn::market
