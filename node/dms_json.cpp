#include "base/ids.hpp"
#include "base/json.hpp"
#include "base/redacted_json.hpp"
#include "base/redactor.hpp"
#include "base/result.hpp"
#include "base/secret.hpp"
#include "node/lease.hpp"
#include "storage/ports.hpp"

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

namespace pn::node {
namespace {

std::optional<std::string> non_empty(std::optional<std::string> text) {
  if (text && text->empty()) return std::nullopt;
  return text;
}

std::optional<int> count(JsonFields& fields, std::string_view key) {
  const std::optional<std::int64_t> value = fields.integer(key);
  if (!value) return std::nullopt;
  if (*value < 0 || *value > std::numeric_limits<int>::max()) {
    fields.fault(key, "is out of range");
    return std::nullopt;
  }
  return static_cast<int>(*value);
}

/// A string member of an object, without a fault when it is something else: `meta` belongs to the
/// job's author, who may keep anything under these names.
std::string string_in(const Json& object, std::string_view key) {
  const auto at = object.find(key);
  return at != object.end() && at->is_string() ? at->get<std::string>() : std::string();
}

std::string url_in_meta(const Json& meta) {
  std::string url = string_in(meta, "domain_server_url");
  if (!url.empty()) return url;
  const auto legacy = meta.find("legacy");
  return legacy != meta.end() && legacy->is_object() ? string_in(*legacy, "domain_server_url")
                                                     : std::string();
}

/// What the wire itself keeps in a task's meta (wire.md): nothing of it is the submitter's,
/// and a runner that refuses unknown options must not see it.
std::string options_in_meta(Json meta) {
  for (const char* key : {"domain_server_url", "legacy", "progress", "events"}) meta.erase(key);
  return dump_json(meta);
}

/// The `task` object; its own `lease_expires_at` is only a fallback for the envelope's.
Lease read_task(JsonFields& fields) {
  Lease out;
  out.task.id = TaskId(fields.need_string("id"));
  out.task.capability = Capability(fields.need_string("capability"));
  out.task.job = JobId(fields.string("job_id").value_or(""));
  for (std::string& cid : fields.strings("inputs_cids").value_or(std::vector<std::string>())) {
    out.task.inputs.emplace_back(std::move(cid));
  }
  out.task.outputs_prefix = fields.string("outputs_prefix").value_or("");
  if (const Json* meta = fields.object("meta")) {
    out.domain_server_url = url_in_meta(*meta);
    out.task.meta_json = options_in_meta(*meta);
  }
  out.task.attempt = count(fields, "attempts").value_or(1);
  out.task.max_attempts = count(fields, "max_attempts").value_or(1);
  out.expires_at = fields.time("lease_expires_at");
  return out;
}

Json job_record(const Lease& lease) {
  const auto or_null = [](const std::string& text) { return text.empty() ? Json() : Json(text); };
  return Json{{"task_id", lease.task.id.str()},
              {"job_id", or_null(lease.task.job.str())},
              {"domain_id", or_null(lease.task.domain.str())},
              {"capability", lease.task.capability.str()}};
}

Json artifact_records(const std::vector<storage::Artifact>& artifacts) {
  Json out = Json::array();
  for (const storage::Artifact& artifact : artifacts) {
    out.push_back({{"logical_path", artifact.logical_path},
                   {"name", artifact.name},
                   {"data_type", artifact.data_type},
                   {"id", artifact.id.str()}});
  }
  return out;
}

std::string with_lease(Json body, const LeaseId& lease) {
  if (!lease.empty()) body["lease_id"] = lease.str();
  return dump_json(body);
}

}  // namespace

Result<Lease> decode_lease(std::string_view body) {
  const Result<Json> parsed = parse_json(body);
  if (!parsed) return within("lease envelope", parsed.error());
  JsonFields fields(*parsed, "lease envelope");
  const Json* task = fields.object("task");
  if (task == nullptr) {
    fields.fault("task", "is missing");
    return *fields.error();
  }
  JsonFields task_fields(*task, "task");
  Lease out = read_task(task_fields);
  out.id = LeaseId(fields.string("lease_id").value_or(""));
  out.token = Secret<std::string>(fields.string("access_token").value_or(""));
  if (const auto expires = fields.time("lease_expires_at")) out.expires_at = expires;
  out.cancel = fields.boolean("cancel").value_or(false);
  out.task.domain = DomainId(fields.string("domain_id").value_or(""));
  if (auto url = non_empty(fields.string("domain_server_url"))) {
    out.domain_server_url = *std::move(url);
  }
  if (const auto fault = task_fields.error()) return *fault;
  if (const auto fault = fields.error()) return *fault;
  return out;
}

std::optional<BrokenLease> decode_broken_lease(std::string_view body) {
  const Result<Json> parsed = parse_json(body);
  if (!parsed || !parsed->is_object()) return std::nullopt;
  const auto task = parsed->find("task");
  if (task == parsed->end() || !task->is_object()) return std::nullopt;
  BrokenLease out{.task = TaskId(string_in(*task, "id")),
                  .id = LeaseId(string_in(*parsed, "lease_id"))};
  if (out.task.empty()) return std::nullopt;
  return out;
}

Result<LeaseUpdate> decode_update(std::string_view body) {
  LeaseUpdate out;
  if (body.find_first_not_of(" \t\r\n") == std::string_view::npos) return out;
  const Result<Json> parsed = parse_json(body);
  if (!parsed) return within("heartbeat answer", parsed.error());
  if (!parsed->is_object()) {
    return Error(ErrorKind::corrupt, "json_field", "heartbeat answer: not an object");
  }
  JsonFields fields(*parsed, "heartbeat answer");
  if (const Json* task = fields.object("task")) {
    JsonFields task_fields(*task, "task");
    out.task = read_task(task_fields);
    if (const auto fault = task_fields.error()) return *fault;
    out.expires_at = out.task->expires_at;
    out.task_id = out.task->task.id.str();
  }
  if (auto id = non_empty(fields.string("task_id"))) out.task_id = std::move(id);
  out.token = non_empty(fields.string("access_token"));
  if (const auto expires = fields.time("lease_expires_at")) out.expires_at = expires;
  out.cancel = fields.boolean("cancel").value_or(false);
  out.domain = non_empty(fields.string("domain_id"));
  out.domain_server_url = non_empty(fields.string("domain_server_url"));
  out.job = non_empty(fields.string("job_id"));
  out.attempt = count(fields, "attempts");
  out.max_attempts = count(fields, "max_attempts");
  if (const auto fault = fields.error()) return *fault;
  return out;
}

void apply(LeaseUpdate update, Lease& lease) {
  if (update.task) {
    runners::TaskInfo& newer = update.task->task;
    newer.id = lease.task.id;
    newer.domain = lease.task.domain;
    if (newer.job.empty()) newer.job = lease.task.job;
    lease.task = std::move(newer);
    if (!update.task->domain_server_url.empty() && lease.domain_server_url.empty()) {
      lease.domain_server_url = std::move(update.task->domain_server_url);
    }
  }
  if (update.task_id) lease.task.id = TaskId(*std::move(update.task_id));
  if (update.token) lease.token = Secret<std::string>(*std::move(update.token));
  if (update.expires_at) lease.expires_at = update.expires_at;
  lease.cancel = lease.cancel || update.cancel;
  if (update.domain) lease.task.domain = DomainId(*std::move(update.domain));
  if (update.domain_server_url) lease.domain_server_url = *std::move(update.domain_server_url);
  if (update.job) lease.task.job = JobId(*std::move(update.job));
  if (update.attempt) lease.task.attempt = *update.attempt;
  if (update.max_attempts) lease.task.max_attempts = *update.max_attempts;
}

std::string heartbeat_body(const LeaseId& lease,
                           std::string_view progress,
                           const std::vector<std::string_view>& events) {
  std::string out = R"({"progress":)";
  out += progress;
  out += R"(,"events":[)";
  for (const std::string_view event : events) {
    if (out.back() != '[') out += ',';
    out += event;
  }
  out += ']';
  if (!lease.empty()) {
    out += R"(,"lease_id":)";
    out += dump_json(Json(lease.str()));
  }
  out += '}';
  return out;
}

std::string complete_body(const Lease& lease, const std::vector<storage::Artifact>& artifacts) {
  Json outputs = Json::array();
  for (const storage::Artifact& artifact : artifacts) outputs.push_back(artifact.id.str());
  Json meta{{"job", job_record(lease)}, {"artifacts", artifact_records(artifacts)}};
  Json body{{"output_cids", std::move(outputs)}, {"meta", std::move(meta)}};
  return with_lease(std::move(body), lease.id);
}

std::string fail_body(const Lease& lease,
                      const Failure& failure,
                      const std::vector<storage::Artifact>& artifacts) {
  Json details{{"job", job_record(lease)},
               {"artifacts", artifact_records(artifacts)},
               {"error", failure.error}};
  if (!failure.retryable) details["retryable"] = false;
  Json body{{"reason", failure.reason}, {"details", std::move(details)}};
  return with_lease(std::move(body), lease.id);
}

std::string_view name(SetupStage stage) {
  switch (stage) {
    case SetupStage::start_session:
      return "start_session";
    case SetupStage::initial_heartbeat:
      return "initial_heartbeat";
    case SetupStage::build_ports:
      return "build_ports";
  }
  return "start_session";
}

std::string setup_failed_body(const LeaseId& lease, SetupStage stage, std::string_view error) {
  Json details{{"stage", std::string(name(stage))}, {"error", std::string(error)}};
  Json body{{"reason", "node_setup_failed"}, {"details", std::move(details)}};
  return with_lease(std::move(body), lease);
}

std::string clean_failure(std::string body, const Redactor& redactor) {
  Result<Json> parsed = parse_json(body);
  if (!parsed || !parsed->is_object()) {
    redactor.apply(body, Redactor::Hex::digest);
    return body;
  }
  Json artifacts;
  const auto details = parsed->find("details");
  const bool has = details != parsed->end() && details->is_object();
  if (has && details->contains("artifacts")) artifacts = std::move((*details)["artifacts"]);
  redact(*parsed, redactor, Redactor::Hex::digest);
  if (!artifacts.is_null()) (*parsed)["details"]["artifacts"] = std::move(artifacts);
  return dump_json(*parsed);
}

Result<std::string> with_lease_id(std::string_view body, const LeaseId& lease) {
  Result<Json> parsed = parse_json(body);
  if (!parsed) return within("receipt", std::move(parsed).error());
  if (!parsed->is_object()) {
    return Error(ErrorKind::corrupt, "json_field", "receipt: not an object");
  }
  parsed->erase("lease_id");
  return with_lease(*std::move(parsed), lease);
}

}  // namespace pn::node
