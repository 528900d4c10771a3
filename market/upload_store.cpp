#include "base/result.hpp"
#include "market/data_store.hpp"
#include "market/data_types.hpp"
#include "market/sql_values.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <soci/soci.h>

namespace pn::market {
namespace {

using soci::into;
using soci::use;

}  // namespace

Result<void> insert_upload(soci::session& session, const Upload& upload) {
  Result<void> there = check_domain(session, upload.domain);
  if (!there) return there;
  const long long size = upload.size ? static_cast<long long>(*upload.size) : -1;
  const auto part_size = static_cast<long long>(upload.part_size);
  const long long created = to_ms(upload.created);
  const long long expires = to_ms(upload.expires);
  session << "INSERT INTO uploads(id, domain_id, name, data_type, existing_id, declared_size,"
             " part_size, blob_id, item_id, created_ms, expires_ms)"
             " VALUES(:i, :d, :n, :t, :x, :s, :p, :b, '', :c, :e)",
      use(upload.id.str()), use(upload.domain.str()), use(upload.name), use(upload.data_type),
      use(upload.existing.str()), use(size), use(part_size), use(upload.blob.str()), use(created),
      use(expires);
  return {};
}

std::optional<Upload> find_upload(soci::session& session,
                                  const DomainId& domain,
                                  const UploadId& id,
                                  SystemTime now) {
  Upload out;
  std::string existing;
  std::string blob;
  std::string item;
  long long size = 0;
  long long part_size = 0;
  long long created = 0;
  long long expires = 0;
  const long long now_ms = to_ms(now);
  session << "SELECT name, data_type, existing_id, declared_size, part_size, blob_id, item_id,"
             " created_ms, expires_ms FROM uploads"
             " WHERE id = :i AND domain_id = :d AND expires_ms > :now",
      use(id.str()), use(domain.str()), use(now_ms), into(out.name), into(out.data_type),
      into(existing), into(size), into(part_size), into(blob), into(item), into(created),
      into(expires);
  if (!session.got_data()) return std::nullopt;
  out.id = id;
  out.domain = domain;
  out.existing = DataId(existing);
  if (size >= 0) out.size = static_cast<std::uint64_t>(size);
  out.part_size = static_cast<std::uint64_t>(part_size);
  out.blob = BlobId(blob);
  out.item = DataId(item);
  out.created = from_ms(created);
  out.expires = from_ms(expires);
  return out;
}

void prolong_upload(soci::session& session, const UploadId& id, SystemTime expires) {
  const long long expires_ms = to_ms(expires);
  session << "UPDATE uploads SET expires_ms = max(expires_ms, :e) WHERE id = :i", use(expires_ms),
      use(id.str());
}

void complete_upload(soci::session& session, const UploadId& id, const DataId& item) {
  session << "UPDATE uploads SET item_id = :x WHERE id = :i", use(item.str()), use(id.str());
  session << "DELETE FROM upload_parts WHERE upload_id = :i", use(id.str());
}

void erase_upload(soci::session& session, const UploadId& id) {
  session << "DELETE FROM uploads WHERE id = :i", use(id.str());
}

std::vector<BlobId> erase_expired_uploads(soci::session& session, SystemTime now) {
  const long long now_ms = to_ms(now);
  std::vector<BlobId> out;
  {
    std::string blob;
    soci::statement rows =
        (session.prepare << "SELECT blob_id FROM uploads WHERE expires_ms <= :now AND item_id = ''",
         use(now_ms),
         into(blob));
    rows.execute();
    while (rows.fetch()) out.emplace_back(blob);
  }
  session << "DELETE FROM uploads WHERE expires_ms <= :now", use(now_ms);
  return out;
}

void put_part(soci::session& session, const UploadId& id, const UploadPart& part) {
  const auto size = static_cast<long long>(part.size);
  session << "INSERT OR REPLACE INTO upload_parts(upload_id, part_number, size, etag)"
             " VALUES(:i, :n, :s, :e)",
      use(id.str()), use(part.number), use(size), use(part.etag);
}

void erase_part(soci::session& session, const UploadId& id, int number) {
  session << "DELETE FROM upload_parts WHERE upload_id = :i AND part_number = :n", use(id.str()),
      use(number);
}

std::vector<UploadPart> list_parts(soci::session& session, const UploadId& id, int number) {
  const int first = number > 0 ? number : 1;
  const int last = number > 0 ? number : kMaxParts;
  long long size = 0;
  std::string etag;
  soci::statement rows =
      (session.prepare << "SELECT part_number, size, etag FROM upload_parts WHERE upload_id = :i"
                          " AND part_number BETWEEN :f AND :l ORDER BY part_number",
       use(id.str()),
       use(first),
       use(last),
       into(number),
       into(size),
       into(etag));
  rows.execute();
  std::vector<UploadPart> out;
  while (rows.fetch()) out.push_back({number, static_cast<std::uint64_t>(size), etag});
  return out;
}

}  // namespace pn::market
