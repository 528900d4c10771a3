#pragma once

#include <string_view>

namespace pn::market {

// Times are milliseconds since 1970 (`_ms`); ids and JSON are text; secrets only as salted hashes.

inline constexpr std::string_view kIdentitySchema = R"sql(
CREATE TABLE organizations(
  id TEXT PRIMARY KEY, name TEXT NOT NULL, created_ms INTEGER NOT NULL);

-- What the host set up, one row a kind: 'registration' (its secret's hash), 'domain' (an id), ...
CREATE TABLE bootstrap(kind TEXT PRIMARY KEY, name TEXT NOT NULL, hash TEXT NOT NULL);

CREATE TABLE nonces(
  nonce TEXT PRIMARY KEY, wallet TEXT NOT NULL, issued_at TEXT NOT NULL, expires_ms INTEGER NOT NULL);
CREATE INDEX nonces_expiry ON nonces(expires_ms);

CREATE TABLE nodes(
  id TEXT PRIMARY KEY, wallet TEXT NOT NULL UNIQUE, organization_id TEXT NOT NULL,
  version TEXT NOT NULL, capabilities TEXT NOT NULL, attributes TEXT NOT NULL,
  created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL);

CREATE TABLE apps(
  app_key TEXT PRIMARY KEY, secret_hash TEXT NOT NULL, organization_id TEXT NOT NULL,
  created_ms INTEGER NOT NULL);

CREATE TABLE users(
  id TEXT PRIMARY KEY, email TEXT NOT NULL UNIQUE, password_hash TEXT NOT NULL,
  organization_id TEXT NOT NULL, created_ms INTEGER NOT NULL);

CREATE TABLE domain_servers(
  id TEXT PRIMARY KEY, organization_id TEXT NOT NULL, name TEXT NOT NULL, url TEXT NOT NULL);

CREATE TABLE domains(
  seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL,
  organization_id TEXT NOT NULL, domain_server_id TEXT NOT NULL REFERENCES domain_servers(id),
  redirect_url TEXT, created_ms INTEGER NOT NULL);
CREATE INDEX domains_organization ON domains(organization_id, seq);
)sql";

inline constexpr std::string_view kJobSchema = R"sql(
CREATE TABLE jobs(
  seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, domain_id TEXT NOT NULL,
  organization_id TEXT NOT NULL, label TEXT NOT NULL, status TEXT NOT NULL,
  priority INTEGER NOT NULL, meta TEXT NOT NULL,
  open_tasks INTEGER NOT NULL, failed_tasks INTEGER NOT NULL, has_edges INTEGER NOT NULL,
  created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL, deleted_ms INTEGER);
CREATE INDEX jobs_domain ON jobs(domain_id, seq);
CREATE INDEX jobs_deleted ON jobs(deleted_ms) WHERE deleted_ms IS NOT NULL;

-- What a task asks of a node; few, shared by all tasks that ask the same. A claim looks at one
-- index entry a class, however many tasks wait.
CREATE TABLE task_classes(
  id INTEGER PRIMARY KEY, capability TEXT NOT NULL, filters TEXT NOT NULL, mode TEXT NOT NULL,
  organization_id TEXT NOT NULL,
  UNIQUE(capability, filters, mode, organization_id));

-- The part of a task that changes. Narrow, because each heartbeat writes the row.
CREATE TABLE tasks(
  seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
  job_seq INTEGER NOT NULL REFERENCES jobs(seq) ON DELETE CASCADE, stage_no INTEGER NOT NULL,
  class_id INTEGER NOT NULL REFERENCES task_classes(id),
  status TEXT NOT NULL, priority INTEGER NOT NULL, deps_remaining INTEGER NOT NULL,
  attempts INTEGER NOT NULL, max_attempts INTEGER NOT NULL,
  node_id TEXT NOT NULL, lease_id TEXT NOT NULL, last_outcome TEXT NOT NULL,
  leased_ms INTEGER NOT NULL, lease_expires_ms INTEGER NOT NULL, token_expires_ms INTEGER NOT NULL,
  last_heartbeat_ms INTEGER NOT NULL, cancel_requested_ms INTEGER NOT NULL,
  created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL,
  progress TEXT NOT NULL, events TEXT NOT NULL);
CREATE INDEX tasks_job ON tasks(job_seq, stage_no);
CREATE INDEX tasks_ready ON tasks(class_id, priority DESC, seq)
  WHERE status = 'queued' AND deps_remaining = 0;
CREATE INDEX tasks_leased ON tasks(lease_expires_ms) WHERE status IN ('leased', 'running');

-- The part that never changes.
CREATE TABLE task_specs(
  task_seq INTEGER PRIMARY KEY REFERENCES tasks(seq) ON DELETE CASCADE,
  label TEXT NOT NULL, stage TEXT NOT NULL, capability TEXT NOT NULL, filters TEXT NOT NULL,
  mode TEXT NOT NULL, inputs TEXT NOT NULL, outputs_prefix TEXT, meta TEXT NOT NULL,
  organization_filter TEXT, billing_units TEXT NOT NULL);

CREATE TABLE stage_edges(
  job_seq INTEGER NOT NULL REFERENCES jobs(seq) ON DELETE CASCADE,
  from_no INTEGER NOT NULL, to_no INTEGER NOT NULL,
  PRIMARY KEY(job_seq, from_no, to_no)) WITHOUT ROWID;

-- How each lease ended: 'completed', 'failed', 'expired', or 'late' (evidence that came too late).
CREATE TABLE attempts(
  seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL,
  job_seq INTEGER NOT NULL REFERENCES jobs(seq) ON DELETE CASCADE,
  task_seq INTEGER NOT NULL, attempt INTEGER NOT NULL, node_id TEXT NOT NULL,
  lease_id TEXT NOT NULL, outcome TEXT NOT NULL, reason TEXT NOT NULL,
  outputs TEXT NOT NULL, meta TEXT NOT NULL,
  started_ms INTEGER NOT NULL, ended_ms INTEGER NOT NULL,
  UNIQUE(task_seq, lease_id, node_id, outcome));
CREATE INDEX attempts_job ON attempts(job_seq, seq);

-- Bound for ever, also after the job is gone.
CREATE TABLE idempotency(
  scope TEXT NOT NULL, key TEXT NOT NULL, request_sha256 TEXT NOT NULL, job_id TEXT NOT NULL,
  created_ms INTEGER NOT NULL, PRIMARY KEY(scope, key)) WITHOUT ROWID;
)sql";

inline constexpr std::string_view kRetrySchema = R"sql(
-- A task that failed waits until then; 0: it does not. What waits stands in an index of its own, so
-- that a claim still finds at the first entry what it may have, however many tasks wait.
ALTER TABLE tasks ADD COLUMN not_before_ms INTEGER NOT NULL DEFAULT 0;
DROP INDEX tasks_ready;
CREATE INDEX tasks_ready ON tasks(class_id, priority DESC, seq)
  WHERE status = 'queued' AND deps_remaining = 0 AND not_before_ms = 0;
CREATE INDEX tasks_held ON tasks(not_before_ms) WHERE status = 'queued' AND not_before_ms > 0;
)sql";

inline constexpr std::string_view kOpenTasksSchema = R"sql(
-- Whether a class has tasks that have not ended: classes stay for ever, claims look at these only.
CREATE INDEX tasks_open ON tasks(class_id) WHERE status IN ('queued', 'leased', 'running');
)sql";

}  // namespace pn::market
