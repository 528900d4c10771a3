#pragma once

#include "market/data_types.hpp"
#include "market/tokens.hpp"

#include <optional>
#include <vector>

namespace soci {
class session;
}

namespace pn::market {

// The domain server's records in SQL. On a thread of the Database; throws soci_error.

std::optional<DataItem> find_item(soci::session& session, const DomainId& domain, const DataId& id);
std::optional<DataItem> find_item_named(soci::session& session,
                                        const DomainId& domain,
                                        const std::string& name,
                                        const std::string& data_type);

/// In the order of `ids`, each once; ids that are not there are left out.
std::vector<DataItem> find_items(soci::session& session,
                                 const DomainId& domain,
                                 const DataFilter& filter);

/// Up to `limit` records after `after_seq` in the order of creation. `filter.ids` is not looked at.
std::vector<DataItem> list_items(soci::session& session,
                                 const DomainId& domain,
                                 const DataFilter& filter,
                                 std::int64_t after_seq,
                                 int limit);

/// For a task token that outlives its lease: kind `unauthorized`, code "lease_over", once the task
/// has another one. Until then a lease that ended, in whatever way, still allows to write: what its
/// holder made counts, and what it leaves it may remove. Inside each transaction that writes.
Result<void> check_lease(soci::session& session, const DomainGrant& grant);

/// For a grant that outlives its domain: kind `not_found`, code "domain_missing".
Result<void> check_domain(soci::session& session, const DomainId& domain);
/// Kind `rejected`, code "name_taken"; `not_found`, "domain_missing".
Result<void> insert_item(soci::session& session, const DataItem& item);
/// Name, type, blob and time of the record with the item's id; likewise "name_taken".
Result<void> update_item(soci::session& session, const DataItem& item);
void erase_item(soci::session& session, const DataId& id);

/// Those of `blobs` that no record and no upload knows.
std::vector<BlobId> unknown_blobs(soci::session& session, const std::vector<BlobId>& blobs);

/// Kind `not_found`, code "domain_missing".
Result<void> insert_upload(soci::session& session, const Upload& upload);
/// Nothing for one that has expired by `now`.
std::optional<Upload> find_upload(soci::session& session,
                                  const DomainId& domain,
                                  const UploadId& id,
                                  SystemTime now);
/// Never makes it shorter.
void prolong_upload(soci::session& session, const UploadId& id, SystemTime expires);
void complete_upload(soci::session& session, const UploadId& id, const DataId& item);
void erase_upload(soci::session& session, const UploadId& id);
/// Removes expired rows; answers the blobs of those that were never completed.
std::vector<BlobId> erase_expired_uploads(soci::session& session, SystemTime now);

void put_part(soci::session& session, const UploadId& id, const UploadPart& part);
void erase_part(soci::session& session, const UploadId& id, int number);
/// All of them, or just `number` when it is there.
std::vector<UploadPart> list_parts(soci::session& session, const UploadId& id, int number = 0);

}  // namespace pn::market
