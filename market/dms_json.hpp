#pragma once

#include "base/json.hpp"
#include "market/job_queries.hpp"
#include "market/jobs_service.hpp"

#include <string>

namespace pn::market {

// The records of wire.md as JSON. What is absent is left out, never null: one public node
// does not take null for every optional field.

Json lease_json(const Lease& lease, const std::string& domain_server_url);
Json heartbeat_json(const HeartbeatAnswer& answer, const std::string& domain_server_url);

Json job_json(const JobRow& job);
Json counts_json(const TaskCounts& counts);
Json task_json(const ShownTask& task);
/// A reported attempt as the wire's receipt.
Json receipt_json(const JobId& job, const ShownAttempt& attempt);
/// Any attempt with how it ended and why.
Json attempt_json(const ShownAttempt& attempt);
Json estimate_json(const JobSpec& spec);
Json busy_json(const BusyNode& node);

/// {"progress","events","lease_id"?}. Kind `corrupt` naming the field.
Result<HeartbeatReport> parse_heartbeat(const Json& json);
/// {"output_cids","meta","lease_id"?}
Result<ReceiptReport> parse_complete(const Json& json);
/// {"reason","details","lease_id"?}
Result<ReceiptReport> parse_fail(const Json& json);

}  // namespace pn::market
