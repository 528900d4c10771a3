#pragma once

#include <string_view>

namespace pn::market {

// As in schema.hpp: times are milliseconds since 1970, ids are text.

inline constexpr std::string_view kDataSchema = R"sql(
CREATE TABLE data_items(
  seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
  domain_id TEXT NOT NULL REFERENCES domains(id),
  name TEXT NOT NULL, data_type TEXT NOT NULL, size INTEGER NOT NULL,
  blob_id TEXT NOT NULL, sha256 TEXT NOT NULL,
  created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL,
  UNIQUE(domain_id, name, data_type));
CREATE INDEX data_items_domain ON data_items(domain_id, seq);
CREATE INDEX data_items_type ON data_items(domain_id, data_type, seq);
CREATE INDEX data_items_blob ON data_items(blob_id);

-- A multipart upload. item_id is set when it is complete; the row then stays until it expires, so
-- that a repeated completion gets the same answer. declared_size is -1 where none was given.
CREATE TABLE uploads(
  id TEXT PRIMARY KEY, domain_id TEXT NOT NULL REFERENCES domains(id) ON DELETE CASCADE,
  name TEXT NOT NULL, data_type TEXT NOT NULL,
  existing_id TEXT NOT NULL, declared_size INTEGER NOT NULL, part_size INTEGER NOT NULL,
  blob_id TEXT NOT NULL, item_id TEXT NOT NULL,
  created_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL);
CREATE INDEX uploads_domain ON uploads(domain_id);
CREATE INDEX uploads_expiry ON uploads(expires_ms);
CREATE INDEX uploads_blob ON uploads(blob_id);

CREATE TABLE upload_parts(
  upload_id TEXT NOT NULL REFERENCES uploads(id) ON DELETE CASCADE, part_number INTEGER NOT NULL,
  size INTEGER NOT NULL, etag TEXT NOT NULL,
  PRIMARY KEY(upload_id, part_number)) WITHOUT ROWID;
)sql";

}  // namespace pn::market
