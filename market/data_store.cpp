#include "market/data_store.hpp"

#include "base/result.hpp"
#include "market/blob_store.hpp"
#include "market/data_types.hpp"
#include "market/sql_values.hpp"
#include "market/tokens.hpp"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <soci/soci.h>

namespace pn::market {
namespace {

using soci::into;
using soci::use;

const char* const kItemColumns =
    "SELECT seq, id, domain_id, name, data_type, size, blob_id, sha256, created_ms, updated_ms"
    " FROM data_items";

struct ItemFields {
  long long seq = 0;
  std::string id, domain, name, data_type, blob, sha256;
  long long size = 0;
  long long created = 0;
  long long updated = 0;

  void exchange(soci::statement& statement) {
    statement.exchange(into(seq));
    statement.exchange(into(id));
    statement.exchange(into(domain));
    statement.exchange(into(name));
    statement.exchange(into(data_type));
    statement.exchange(into(size));
    statement.exchange(into(blob));
    statement.exchange(into(sha256));
    statement.exchange(into(created));
    statement.exchange(into(updated));
  }

  [[nodiscard]] DataItem item() const {
    DataItem out;
    out.seq = seq;
    out.id = DataId(id);
    out.domain = DomainId(domain);
    out.name = name;
    out.data_type = data_type;
    out.blob =
        StoredBlob{.id = BlobId(blob), .size = static_cast<std::uint64_t>(size), .sha256 = sha256};
    out.created = from_ms(created);
    out.updated = from_ms(updated);
    return out;
  }
};

/// Rows of kItemColumns + `rest`, whose parameters are `texts` and then `numbers`, in their order.
std::vector<DataItem> query_items(soci::session& session,
                                  const std::string& rest,
                                  const std::vector<std::string>& texts,
                                  const std::vector<long long>& numbers = {}) {
  ItemFields fields;
  soci::statement statement(session);
  fields.exchange(statement);
  for (const std::string& text : texts) statement.exchange(use(text));
  for (const long long& number : numbers) statement.exchange(use(number));
  statement.alloc();
  statement.prepare(std::string(kItemColumns) + rest);
  statement.define_and_bind();
  statement.execute();
  std::vector<DataItem> out;
  while (statement.fetch()) out.push_back(fields.item());
  return out;
}

std::optional<DataItem> first(std::vector<DataItem> items) {
  if (items.empty()) return std::nullopt;
  return std::move(items.front());
}

Error name_taken(const DataItem& item) {
  return {ErrorKind::rejected,
          "name_taken",
          "the domain has a record named '" + item.name + "' of type '" + item.data_type +
              "' already; update it by its id"};
}

bool is_taken(soci::session& session, const DataItem& item) {
  const auto other = find_item_named(session, item.domain, item.name, item.data_type);
  return other && other->id != item.id;
}

}  // namespace

std::optional<DataItem> find_item(soci::session& session,
                                  const DomainId& domain,
                                  const DataId& id) {
  return first(query_items(session, " WHERE id = :i AND domain_id = :d", {id.str(), domain.str()}));
}

std::optional<DataItem> find_item_named(soci::session& session,
                                        const DomainId& domain,
                                        const std::string& name,
                                        const std::string& data_type) {
  return first(query_items(session,
                           " WHERE domain_id = :d AND name = :n AND data_type = :t",
                           {domain.str(), name, data_type}));
}

std::vector<DataItem> find_items(soci::session& session,
                                 const DomainId& domain,
                                 const DataFilter& filter) {
  std::vector<DataItem> out;
  for (const std::string& id : filter.ids) {
    if (std::ranges::any_of(out, [&](const DataItem& one) { return one.id.str() == id; })) continue;
    std::optional<DataItem> item = find_item(session, domain, DataId(id));
    if (!item) continue;
    if (!filter.name.empty() && item->name != filter.name) continue;
    if (!filter.data_type.empty() && item->data_type != filter.data_type) continue;
    out.push_back(std::move(*item));
  }
  return out;
}

std::vector<DataItem> list_items(soci::session& session,
                                 const DomainId& domain,
                                 const DataFilter& filter,
                                 std::int64_t after_seq,
                                 int limit) {
  // One text for each set of filters, so that each uses its index.
  std::string where = " WHERE domain_id = :d";
  std::vector<std::string> texts{domain.str()};
  if (!filter.name.empty()) {
    where += " AND name = :n";
    texts.push_back(filter.name);
  }
  if (!filter.data_type.empty()) {
    where += " AND data_type = :t";
    texts.push_back(filter.data_type);
  }
  where += " AND seq > :s ORDER BY seq LIMIT :l";
  return query_items(session, where, texts, {after_seq, limit});
}

Result<void> check_lease(soci::session& session, const DomainGrant& grant) {
  if (grant.lease.empty()) return {};
  int holds = 0;
  session << "SELECT EXISTS(SELECT 1 FROM tasks WHERE id = :t AND lease_id = :l)",
      use(grant.task.str()), use(grant.lease.str()), into(holds);
  if (holds != 0) return {};
  return Error(ErrorKind::unauthorized,
               "lease_over",
               "the token is of a lease that ended, and the task has another one since");
}

Result<void> check_domain(soci::session& session, const DomainId& domain) {
  int there = 0;
  session << "SELECT EXISTS(SELECT 1 FROM domains WHERE id = :d)", use(domain.str()), into(there);
  if (there != 0) return {};
  return Error(ErrorKind::not_found, "domain_missing", "there is no domain with this id any more");
}

Result<void> insert_item(soci::session& session, const DataItem& item) {
  Result<void> there = check_domain(session, item.domain);
  if (!there) return there;
  if (is_taken(session, item)) return name_taken(item);
  const auto size = static_cast<long long>(item.blob.size);
  const long long created = to_ms(item.created);
  const long long updated = to_ms(item.updated);
  session << "INSERT INTO data_items(id, domain_id, name, data_type, size, blob_id, sha256,"
             " created_ms, updated_ms) VALUES(:i, :d, :n, :t, :s, :b, :h, :c, :u)",
      use(item.id.str()), use(item.domain.str()), use(item.name), use(item.data_type), use(size),
      use(item.blob.id.str()), use(item.blob.sha256), use(created), use(updated);
  return {};
}

Result<void> update_item(soci::session& session, const DataItem& item) {
  if (is_taken(session, item)) return name_taken(item);
  const auto size = static_cast<long long>(item.blob.size);
  const long long updated = to_ms(item.updated);
  session << "UPDATE data_items SET name = :n, data_type = :t, size = :s, blob_id = :b,"
             " sha256 = :h, updated_ms = :u WHERE id = :i",
      use(item.name), use(item.data_type), use(size), use(item.blob.id.str()),
      use(item.blob.sha256), use(updated), use(item.id.str());
  return {};
}

void erase_item(soci::session& session, const DataId& id) {
  session << "DELETE FROM data_items WHERE id = :i", use(id.str());
}

std::vector<BlobId> unknown_blobs(soci::session& session, const std::vector<BlobId>& blobs) {
  std::vector<BlobId> out;
  for (const BlobId& blob : blobs) {
    int known = 0;
    session << "SELECT EXISTS(SELECT 1 FROM data_items WHERE blob_id = :a)"
               " OR EXISTS(SELECT 1 FROM uploads WHERE blob_id = :b)",
        use(blob.str()), use(blob.str()), into(known);
    if (known == 0) out.push_back(blob);
  }
  return out;
}

}  // namespace pn::market
