#include "base/json.hpp"
#include "base/result.hpp"
#include "bin/jobs.hpp"

#include <optional>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

namespace pn::bin {
namespace {

JobRecord read_job(JsonFields& fields) {
  JobRecord out;
  out.id = JobId(fields.need_string("id"));
  out.label = fields.string("label").value_or("");
  out.status = fields.string("status").value_or("");
  out.created_at = fields.time("created_at");
  out.updated_at = fields.time("updated_at");
  return out;
}

TaskCounts read_counts(JsonFields& fields) {
  TaskCounts out;
  out.queued = fields.integer("queued").value_or(0);
  out.leased = fields.integer("leased").value_or(0);
  out.running = fields.integer("running").value_or(0);
  out.completed = fields.integer("completed").value_or(0);
  out.failed = fields.integer("failed").value_or(0);
  out.canceled = fields.integer("canceled").value_or(0);
  return out;
}

/// The job and its counts, which a list item and a whole job begin with.
Result<JobListItem> read_head(const Json& json) {
  JsonFields fields(json, "job");
  const Json* job = fields.object("job");
  if (job == nullptr) fields.fault("job", "is missing");
  const Json* counts = fields.object("tasks_summary");
  const Result<void> sound = fields.done();
  if (!sound.ok()) return sound.error();
  JobListItem out;
  JsonFields job_fields(*job, "job");
  out.job = read_job(job_fields);
  const Result<void> job_sound = job_fields.done();
  if (!job_sound.ok()) return job_sound.error();
  if (counts != nullptr) {
    JsonFields count_fields(*counts, "tasks_summary");
    out.counts = read_counts(count_fields);
  }
  return out;
}

Result<TaskRecord> read_task(const Json& json) {
  JsonFields fields(json, "task");
  TaskRecord out;
  out.id = TaskId(fields.need_string("id"));
  out.label = fields.string("label").value_or("");
  out.capability = fields.string("capability").value_or("");
  out.status = fields.string("status").value_or("");
  out.outputs_prefix = fields.string("outputs_prefix").value_or("");
  out.attempts = fields.integer("attempts").value_or(0);
  out.max_attempts = fields.integer("max_attempts").value_or(0);
  out.reserved_by = fields.string("reserved_by").value_or("");
  if (const Json* meta = fields.object("meta")) {
    const auto progress = meta->find("progress");
    if (progress != meta->end()) out.progress = parse_progress(*progress);
  }
  const Result<void> sound = fields.done();
  if (!sound.ok()) return sound.error();
  return out;
}

void read_artifacts(JsonFields& fields, std::vector<ReceiptArtifact>& into) {
  const Json* list = fields.array("artifacts");
  if (list == nullptr) return;
  for (const Json& item : *list) {
    JsonFields artifact(item, "artifact");
    ReceiptArtifact out;
    out.logical_path = artifact.string("logical_path").value_or("");
    out.name = artifact.string("name").value_or("");
    out.data_type = artifact.string("data_type").value_or("");
    out.id = DataId(artifact.string("id").value_or(""));
    if (!artifact.error() && !out.id.empty()) into.push_back(std::move(out));
  }
}

Result<ReceiptRecord> read_receipt(const Json& json) {
  JsonFields fields(json, "receipt");
  ReceiptRecord out;
  out.task = TaskId(fields.need_string("task_id"));
  out.attempt = fields.integer("attempt").value_or(0);
  out.node = fields.string("node_id").value_or("");
  out.created_at = fields.time("created_at");
  out.reason = fields.string("reason").value_or("");
  const Json* meta = fields.object("meta");
  const Result<void> sound = fields.done();
  if (!sound.ok()) return sound.error();
  if (meta == nullptr) return out;
  // `meta` is the body of the node's complete or fail, more or less: a node may be of any make.
  JsonFields meta_fields(*meta, "receipt");
  if (out.reason.empty()) out.reason = meta_fields.string("reason").value_or("");
  out.error = meta_fields.string("error").value_or("");
  read_artifacts(meta_fields, out.artifacts);
  if (const Json* details = meta_fields.object("details")) {
    JsonFields detail_fields(*details, "receipt");
    for (const char* key : {"error", "message"}) {
      if (out.error.empty()) out.error = detail_fields.string(key).value_or("");
    }
    read_artifacts(detail_fields, out.artifacts);
  }
  return out;
}

Result<AttemptRecord> read_attempt(const Json& json) {
  JsonFields fields(json, "attempt");
  AttemptRecord out;
  out.task = TaskId(fields.need_string("task_id"));
  out.attempt = fields.integer("attempt").value_or(0);
  out.node = fields.string("node_id").value_or("");
  out.outcome = fields.string("outcome").value_or("");
  out.reason = fields.string("reason").value_or("");
  const Result<void> sound = fields.done();
  if (!sound.ok()) return sound.error();
  return out;
}

}  // namespace

std::optional<TaskProgress> parse_progress(const Json& json) {
  if (!json.is_object() || json.empty()) return std::nullopt;
  // A runner may put anything here: what is not of the usual form is left out, never an error.
  TaskProgress out;
  const auto text = [&](const char* key) {
    JsonFields field(json, "progress");
    return field.string(key).value_or("");
  };
  const auto count = [&](const char* key) {
    JsonFields field(json, "progress");
    return field.integer(key);
  };
  out.stage = text("stage");
  out.unit = text("unit");
  out.message = text("message");
  out.done = count("done");
  out.total = count("total");
  JsonFields field(json, "progress");
  out.pct = field.number("pct");
  return out;
}

Result<JobDetails> parse_job_details(const Json& json) {
  Result<JobListItem> head = read_head(json);
  if (!head) return std::move(head).error();
  JobDetails out;
  out.job = std::move(head->job);
  out.counts = head->counts;
  JsonFields fields(json, "job");
  const Json* tasks = fields.array("tasks");
  const Json* receipts = fields.array("receipts");
  const Json* attempts = fields.array("attempts");
  const Result<void> sound = fields.done();
  if (!sound.ok()) return sound.error();
  if (tasks != nullptr) {
    for (const Json& item : *tasks) {
      Result<TaskRecord> task = read_task(item);
      if (!task) return std::move(task).error();
      out.tasks.push_back(std::move(*task));
    }
  }
  if (receipts != nullptr) {
    for (const Json& item : *receipts) {
      Result<ReceiptRecord> receipt = read_receipt(item);
      if (!receipt) return std::move(receipt).error();
      out.receipts.push_back(std::move(*receipt));
    }
  }
  if (attempts != nullptr) {
    for (const Json& item : *attempts) {
      Result<AttemptRecord> attempt = read_attempt(item);
      if (!attempt) return std::move(attempt).error();
      out.attempts.push_back(std::move(*attempt));
    }
  }
  return out;
}

Result<JobPage> parse_job_page(const Json& json) {
  JsonFields fields(json, "job list");
  const Json* items = fields.array("items");
  if (items == nullptr) fields.fault("items", "is missing");
  JobPage out;
  out.next_cursor = fields.string("next_cursor").value_or("");
  const Result<void> sound = fields.done();
  if (!sound.ok()) return sound.error();
  for (const Json& item : *items) {
    Result<JobListItem> head = read_head(item);
    if (!head) return std::move(head).error();
    out.items.push_back(std::move(*head));
  }
  return out;
}

Result<JobId> parse_submitted(std::string_view body) {
  const Result<Json> json = parse_json(body);
  if (!json) return within("submitted job", json.error());
  JsonFields fields(*json, "submitted job");
  JobId id(fields.need_string("job_id"));
  const Result<void> sound = fields.done();
  if (!sound.ok()) return sound.error();
  return id;
}

}  // namespace pn::bin
