#include "market/task_fields.hpp"

#include "base/ids.hpp"
#include "market/job_store.hpp"
#include "market/sql_values.hpp"
#include "market/task_rules.hpp"
#include "market/tokens.hpp"

#include <soci/soci.h>

namespace pn::market {
namespace {

/// Binds variables in the order of the columns.
template <class... Fields>
void fetch_into(soci::statement& statement, Fields&... fields) {
  (statement.exchange(soci::into(fields)), ...);
}

}  // namespace

const char* const TaskFields::kColumns =
    "t.seq, t.job_seq, t.class_id, t.stage_no, t.id, t.priority, t.status, t.deps_remaining,"
    " t.attempts, t.max_attempts, t.node_id, t.lease_id, t.last_outcome, t.leased_ms,"
    " t.lease_expires_ms, t.token_expires_ms, t.last_heartbeat_ms, t.cancel_requested_ms,"
    " t.not_before_ms, t.progress, t.events, j.id, j.domain_id, j.organization_id, j.status, "
    "j.open_tasks,"
    " j.failed_tasks, j.has_edges";

void TaskFields::bind(soci::statement& statement) {
  fetch_into(statement, seq, job_seq, class_id, stage_no, id, priority, status, deps);
  fetch_into(statement, attempts, max_attempts, node, lease, outcome, leased);
  fetch_into(statement, expires, token_expires, heartbeat, cancel_requested, not_before);
  fetch_into(statement, progress, events, job_id, domain, organization, job_status, open);
  fetch_into(statement, failed, has_edges);
}

TaskRow TaskFields::row() const {
  TaskRow out;
  out.seq = seq;
  out.job_seq = job_seq;
  out.class_id = class_id;
  out.stage_no = stage_no;
  out.id = TaskId(id);
  out.priority = priority;
  out.state.status = parse_task_status(status).value_or(TaskStatus::failed);
  out.state.deps_remaining = deps;
  out.state.attempts = attempts;
  out.state.max_attempts = max_attempts;
  out.state.node = NodeId(node);
  out.state.lease = LeaseId(lease);
  out.state.last_outcome = parse_last_outcome(outcome).value_or(LastOutcome::none);
  out.state.leased_at = from_ms(leased);
  out.state.lease_expires = from_ms(expires);
  out.state.last_heartbeat = from_ms(heartbeat);
  out.state.cancel_requested = from_ms(cancel_requested);
  out.state.not_before = from_ms(not_before);
  out.token_expires = from_ms(token_expires);
  out.progress = progress;
  out.events = events;
  out.job_id = JobId(job_id);
  out.domain = DomainId(domain);
  out.organization = OrganizationId(organization);
  out.job.status = parse_job_status(job_status).value_or(JobStatus::failed);
  out.job.open_tasks = open;
  out.job.failed_tasks = failed;
  out.has_edges = has_edges != 0;
  return out;
}

// What may be NULL comes as two columns: whether it is there, and the text.
const char* const SpecFields::kColumns =
    "s.label, s.stage, s.capability, s.filters, s.mode, s.inputs, s.outputs_prefix IS NOT NULL,"
    " ifnull(s.outputs_prefix, ''), s.meta, s.organization_filter IS NOT NULL,"
    " ifnull(s.organization_filter, ''), s.billing_units";

void SpecFields::bind(soci::statement& statement) {
  fetch_into(statement, label, stage, capability, filters, mode, inputs, has_prefix, prefix, meta);
  fetch_into(statement, has_organization, organization, units);
}

TaskSpecRow SpecFields::row() const {
  TaskSpecRow out;
  out.label = label;
  out.stage = stage;
  out.capability = Capability(capability);
  out.filters = filters;
  out.mode = mode;
  out.inputs = inputs;
  if (has_prefix != 0) out.outputs_prefix = prefix;
  out.meta = meta;
  if (has_organization != 0) out.organization_filter = organization;
  out.billing_units = units;
  return out;
}

}  // namespace pn::market
