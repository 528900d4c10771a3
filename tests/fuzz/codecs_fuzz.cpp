#include "auth/dds_json.hpp"
#include "auth/siwe.hpp"
#include "base/ids.hpp"
#include "base/json.hpp"
#include "base/result.hpp"
#include "market/data_types.hpp"
#include "market/dms_json.hpp"
#include "market/job_spec.hpp"
#include "node/lease.hpp"
#include "storage/domain_json.hpp"
#include "storage/ports.hpp"
#include "tests/fuzz/fuzz.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

// The same text as each JSON that the node and the market read of others; what one of the two
// writes of it, the other reads.
namespace pn {
namespace {

using fuzz::require;

void check_fault(const Error& error) {
  require(error.kind == ErrorKind::corrupt || error.kind == ErrorKind::rejected,
          "bad JSON is its sender's fault");
  require(!error.detail.empty(), "an error says what is wrong");
}

/// Of a domain server, in whose place a proxy may have answered.
void check_unreadable(const Error& error) {
  require(error.kind == ErrorKind::retry, "an answer that cannot be read may come again");
  require(error.code.starts_with("json_"), "what was wrong is told");
  require(!error.detail.empty(), "an error says what is wrong");
}

void check_json(std::string_view text) {
  const Result<Json> parsed = parse_json(text);
  if (!parsed.ok()) return check_fault(parsed.error());
  const std::string dumped = dump_json(*parsed);
  const Result<Json> again = parse_json(dumped);
  require(again.ok() && dump_json(*again) == dumped, "JSON is read back");
}

/// A receipt of ours, as the market takes it.
void check_receipts(const node::Lease& lease) {
  const std::vector<storage::Artifact> artifacts{
      {.logical_path = "a/b", .name = "a_b", .data_type = "json", .id = DataId("d-1")}};
  const Result<Json> complete = parse_json(node::complete_body(lease, artifacts));
  require(complete.ok(), "a receipt is JSON");
  const auto completed = market::parse_complete(*complete);
  require(completed.ok() && completed->success, "the market takes a receipt");
  require(completed->outputs == R"(["d-1"])", "with its artifacts");
  const node::Failure failure{.reason = lease.domain_server_url, .error = lease.task.meta_json};
  const Result<Json> fail = parse_json(node::fail_body(lease, failure, artifacts));
  require(fail.ok() && market::parse_fail(*fail).ok(), "the market takes a failure");
  const Result<Json> beat = parse_json(node::heartbeat_body(lease.id, "{}", {R"({"e":1})"}));
  require(beat.ok() && market::parse_heartbeat(*beat).ok(), "the market takes a heartbeat");
  const auto other = node::with_lease_id(dump_json(*complete), LeaseId("other"));
  require(other.ok(), "a receipt goes out under another lease");
}

void check_leases(std::string_view text) {
  Result<node::Lease> lease = node::decode_lease(text);
  const std::optional<node::BrokenLease> broken = node::decode_broken_lease(text);
  if (lease.ok()) {
    require(!lease->task.id.empty() && !lease->task.capability.empty(), "a lease names its task");
    require(lease->task.attempt >= 0 && lease->task.max_attempts >= 0, "attempts are counted");
    require(broken && broken->task == lease->task.id, "what is whole can be read as broken too");
    require(parse_json(lease->task.meta_json).ok(), "options are JSON");
    check_receipts(*lease);
  } else {
    check_fault(lease.error());
  }
  const Result<node::LeaseUpdate> update = node::decode_update(text);
  if (!update.ok()) return check_fault(update.error());
  node::Lease held;
  held.task.id = TaskId("t-1");
  held.task.domain = DomainId("d-1");
  held.cancel = true;
  node::apply(*update, held);
  require(!held.task.id.empty(), "an update does not lose the task");
  require(held.cancel, "a cancel is not taken back");
  check_receipts(held);
}

void check_storage(std::string_view text) {
  const auto items = storage::parse_items(text);
  if (!items.ok()) check_unreadable(items.error());
  if (items.ok()) {
    for (const storage::DataItem& item : *items) require(!item.id.empty(), "an item has an id");
  }
  const auto item = storage::parse_item(text);
  if (!item.ok()) check_unreadable(item.error());
  const auto limits = storage::parse_limits(text);
  if (!limits.ok()) check_unreadable(limits.error());
  require(!limits.ok() || limits->request_max_bytes.value_or(1) > 0, "a limit lets something pass");
  const auto initiated = storage::parse_initiated(text);
  if (!initiated.ok()) check_unreadable(initiated.error());
  require(!initiated.ok() || (initiated->part_size > 0 && !initiated->upload_id.empty()),
          "an upload has parts");
  const auto etag = storage::parse_etag(text);
  if (!etag.ok()) return check_unreadable(etag.error());
  const Result<Json> complete = parse_json(storage::complete_body({{1, *etag}, {2, "e"}}));
  require(complete.ok(), "a list of parts is JSON");
  const auto parts = market::parse_parts(*complete);
  require(parts.ok() && parts->size() == 2, "the market takes a list of parts");
}

void check_market(std::string_view text) {
  const Result<Json> json = parse_json(text);
  if (!json.ok()) return;
  const Result<market::JobSpec> spec = market::parse_job_spec(*json);
  if (spec.ok()) {
    // What an idempotency key is bound to: the same for the same spec, however it was written.
    const std::string canonical = market::canonical_json(*spec);
    require(parse_json(canonical).ok(), "a canonical spec is JSON");
    const Result<Json> rewritten = parse_json(dump_json(*json));
    require(rewritten.ok(), "JSON is read back");
    const Result<market::JobSpec> again = market::parse_job_spec(*rewritten);
    require(again.ok() && *again == *spec, "a spec is read back");
    require(market::canonical_json(*again) == canonical, "with the same canonical form");
  } else {
    check_fault(spec.error());
  }
  for (const auto& receipt : {market::parse_complete(*json), market::parse_fail(*json)}) {
    if (!receipt.ok()) check_fault(receipt.error());
    if (receipt.ok()) require(parse_json(receipt->outputs).ok(), "outputs are JSON");
  }
  const auto beat = market::parse_heartbeat(*json);
  if (!beat.ok()) check_fault(beat.error());
  const auto upload = market::parse_new_upload(*json);
  if (!upload.ok()) return check_fault(upload.error());
  require(
      !upload->existing.empty() || market::check_data_name(upload->name, upload->data_type).ok(),
      "an upload has a name");
  const std::optional<DataId> existing =
      upload->existing.empty() ? std::nullopt : std::optional(upload->existing);
  const Result<Json> ours = parse_json(
      storage::initiate_body(upload->name, upload->data_type, upload->size.value_or(1), existing));
  require(ours.ok() && market::parse_new_upload(*ours).ok(), "the market takes an initiation");
}

}  // namespace
}  // namespace pn

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  pn::check_json(text);
  pn::check_leases(text);
  pn::check_storage(text);
  pn::check_market(text);
  return 0;
}
