#pragma once

#include "base/ids.hpp"
#include "base/redactor.hpp"
#include "base/result.hpp"
#include "base/secret.hpp"
#include "base/time.hpp"
#include "runners/task_context.hpp"
#include "storage/ports.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pn::node {

/// What DMS gave us with a claim (wire.md), and what heartbeats changed of it. A value.
struct Lease {
  runners::TaskInfo task;
  LeaseId id;                     ///< empty: the server does not fence; then it is never echoed
  std::string domain_server_url;  ///< empty: none named, also not in the task's meta
  Secret<std::string> token;      ///< for the domain server
  std::optional<SystemTime> expires_at;
  bool cancel = false;
  std::string trace_id;  ///< 32 hex digits, one for all requests about this lease

  /// By the monotonic clock: when the claim was sent, when the answer came, and what was left of
  /// the lease when it was sent. Nothing when the server named no time.
  SteadyTime sent{};
  SteadyTime received{};
  std::optional<Millis> remaining;
};

/// What a heartbeat's answer changes; nothing = as before.
struct LeaseUpdate {
  std::optional<std::string> token;
  std::optional<SystemTime> expires_at;
  bool cancel = false;
  /// The server calls the task by another name now: `task_id`, or the id in `task`. The next beat
  /// and the receipt go there.
  std::optional<std::string> task_id;
  std::optional<std::string> domain;
  std::optional<std::string> domain_server_url;
  std::optional<std::string> job;
  std::optional<int> attempt;
  std::optional<int> max_attempts;
  /// `task`, when the answer holds a whole one.
  std::optional<Lease> task;

  SteadyTime sent{};
  std::optional<Millis> remaining;
};

/// What is left of an envelope that could not be read whole: enough to tell DMS.
struct BrokenLease {
  TaskId task;
  LeaseId id;
};

// The codecs (dms_json.cpp). Every optional field may be absent or null; unknown ones are ignored.

/// Kind `corrupt` names the field. Only `task.id` and `task.capability` are certain.
Result<Lease> decode_lease(std::string_view body);
/// Nothing when not even the task's id can be read.
std::optional<BrokenLease> decode_broken_lease(std::string_view body);
/// An empty body is an empty update.
Result<LeaseUpdate> decode_update(std::string_view body);
/// Puts what the update holds into the lease.
void apply(LeaseUpdate update, Lease& lease);

/// `progress` and `events` are JSON texts, put in as they stand.
std::string heartbeat_body(const LeaseId& lease,
                           std::string_view progress,
                           const std::vector<std::string_view>& events);
std::string complete_body(const Lease& lease, const std::vector<storage::Artifact>& artifacts);

/// Why an attempt failed.
struct Failure {
  std::string reason;
  std::string error;      ///< for people
  bool retryable = true;  ///< false: no other attempt can mend it
};
std::string fail_body(const Lease& lease,
                      const Failure& failure,
                      const std::vector<storage::Artifact>& artifacts);

enum class SetupStage { start_session, initial_heartbeat, build_ports };
/// "start_session", as the wire names it.
std::string_view name(SetupStage stage);
std::string setup_failed_body(const LeaseId& lease, SetupStage stage, std::string_view error);
/// The body of a failure as it may leave the node: what its texts quote has passed `redactor`. The
/// names of artifacts stay what they are.
std::string clean_failure(std::string body, const Redactor& redactor);

/// The body of a receipt, to go out under another lease. Kind `corrupt` when it is none.
Result<std::string> with_lease_id(std::string_view body, const LeaseId& lease);

}  // namespace pn::node
