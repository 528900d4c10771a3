#pragma once

#include "base/ids.hpp"
#include "base/json.hpp"
#include "base/result.hpp"
#include "base/time.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pn::bin {

// DMS's records as far as people and commands look at them; every field but the ids may be missing.

struct JobRecord {
  JobId id;
  std::string label;
  std::string status;
  std::optional<SystemTime> created_at;
  std::optional<SystemTime> updated_at;

  [[nodiscard]] bool ended() const {
    return status == "completed" || status == "failed" || status == "canceled";
  }
};

struct TaskCounts {
  std::int64_t queued = 0;
  std::int64_t leased = 0;
  std::int64_t running = 0;
  std::int64_t completed = 0;
  std::int64_t failed = 0;
  std::int64_t canceled = 0;

  [[nodiscard]] std::int64_t total() const {
    return queued + leased + running + completed + failed + canceled;
  }
};

/// What a runner tells of itself; the figures mean what `unit` says.
struct TaskProgress {
  std::string stage;
  std::optional<double> pct;
  std::optional<std::int64_t> done;
  std::optional<std::int64_t> total;
  std::string unit;
  std::string message;

  friend bool operator==(const TaskProgress&, const TaskProgress&) = default;
};

struct TaskRecord {
  TaskId id;
  std::string label;
  std::string capability;
  std::string status;
  std::string outputs_prefix;
  std::int64_t attempts = 0;
  std::int64_t max_attempts = 0;
  std::string reserved_by;
  std::optional<TaskProgress> progress;
};

struct ReceiptArtifact {
  std::string logical_path;
  std::string name;
  std::string data_type;
  DataId id;
};

/// One reported attempt. `reason` is empty for a completed one.
struct ReceiptRecord {
  TaskId task;
  std::int64_t attempt = 0;  ///< 0: the server does not say
  std::string node;
  std::string reason;
  std::string error;
  std::optional<SystemTime> created_at;
  std::vector<ReceiptArtifact> artifacts;
};

/// One attempt, reported or not: our own marketplace lists them, the public one does not.
struct AttemptRecord {
  TaskId task;
  std::int64_t attempt = 0;
  std::string node;
  std::string outcome;  ///< empty: still open
  std::string reason;
};

struct JobDetails {
  JobRecord job;
  TaskCounts counts;
  std::vector<TaskRecord> tasks;
  std::vector<ReceiptRecord> receipts;
  std::vector<AttemptRecord> attempts;  ///< empty: the server does not list them
};

struct JobListItem {
  JobRecord job;
  TaskCounts counts;
};

struct JobPage {
  std::vector<JobListItem> items;
  std::string next_cursor;  ///< empty: the last page
};

// The codecs (jobs_json.cpp): kind `corrupt` for what is no such record.
Result<JobDetails> parse_job_details(const Json& json);
Result<JobPage> parse_job_page(const Json& json);
Result<JobId> parse_submitted(std::string_view body);
/// Nothing when it is no object, or an empty one.
std::optional<TaskProgress> parse_progress(const Json& json);

}  // namespace pn::bin
