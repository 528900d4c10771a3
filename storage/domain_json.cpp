#include "storage/domain_json.hpp"

#include "base/encoding.hpp"
#include "base/json.hpp"
#include "base/result.hpp"
#include "storage/raw_answer.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

namespace pn::storage {
namespace {

/// What our market adds, in the form of Content-Digest. Another server's "digest" may be anything.
std::string sha256_of(const Json& object) {
  const auto field = object.find("digest");
  if (field == object.end() || !field->is_string()) return {};
  const std::optional<std::string> bytes = sha256_of_digest_field(field->get<std::string>());
  if (!bytes) return {};
  return to_hex(std::vector<unsigned char>(bytes->begin(), bytes->end()));
}

Result<DataItem> item_of(const Json& object) {
  JsonFields fields(object, "data item");
  DataItem item;
  item.id = DataId(fields.need_string("id"));
  item.name = fields.string("name").value_or("");
  item.data_type = fields.string("data_type").value_or("");
  const std::int64_t size = fields.integer("size").value_or(0);
  if (size < 0) fields.fault("size", "is negative");
  item.size = static_cast<std::uint64_t>(size);
  item.created_at = fields.string("created_at").value_or("");
  item.updated_at = fields.string("updated_at").value_or("");
  const Result<void> done = fields.done();
  if (!done.ok()) return done.error();
  item.sha256 = sha256_of(object);
  return item;
}

Result<std::vector<DataItem>> items_of(const Json& object) {
  JsonFields fields(object, "data list");
  const Json* array = fields.array("data");
  const Result<void> done = fields.done();
  if (!done.ok()) return done.error();
  std::vector<DataItem> out;
  if (array == nullptr) return out;
  out.reserve(array->size());
  for (const Json& one : *array) {
    Result<DataItem> item = item_of(one);
    if (!item.ok()) return std::move(item).error();
    out.push_back(*std::move(item));
  }
  return out;
}

Result<UploadLimits> limits_of(const Json& object) {
  UploadLimits out;
  JsonFields fields(object, "server info");
  if (const Json* upload = fields.object("upload")) {
    JsonFields inner(*upload, "server info, upload");
    const std::optional<std::int64_t> bytes = inner.integer("request_max_bytes");
    if (bytes && *bytes > 0) out.request_max_bytes = static_cast<std::uint64_t>(*bytes);
    if (const Json* multipart = inner.object("multipart")) {
      JsonFields deepest(*multipart, "server info, multipart");
      out.multipart = deepest.boolean("enabled").value_or(false);
      if (const auto fault = deepest.error()) return *fault;
    }
    if (const auto fault = inner.error()) return *fault;
  }
  const Result<void> done = fields.done();
  if (!done.ok()) return done.error();
  return out;
}

Result<MultipartUpload> initiated_of(const Json& object) {
  JsonFields fields(object, "multipart upload");
  MultipartUpload out;
  out.upload_id = fields.need_string("upload_id");
  const std::int64_t part_size = fields.need_integer("part_size");
  if (part_size <= 0) fields.fault("part_size", "is not positive");
  out.part_size = static_cast<std::uint64_t>(part_size);
  const Result<void> done = fields.done();
  if (!done.ok()) return done.error();
  return out;
}

Result<std::string> etag_of(const Json& object) {
  JsonFields fields(object, "uploaded part");
  std::string etag = fields.need_string("etag");
  const Result<void> done = fields.done();
  if (!done.ok()) return done.error();
  return etag;
}

/// What cannot be read may be the page of a proxy: it is nobody's fault that another attempt would
/// repeat.
template <class T>
Result<T> parsed(std::string_view body, Result<T> (*read)(const Json&)) {
  const Result<Json> json = parse_json(body);
  Result<T> out = json.ok() ? read(*json) : Result<T>(json.error());
  if (out.ok()) return out;
  Error unreadable = std::move(out).error();
  unreadable.kind = ErrorKind::retry;
  return unreadable;
}

}  // namespace

Result<DataItem> parse_item(std::string_view body) { return parsed(body, item_of); }

Result<std::vector<DataItem>> parse_items(std::string_view body) { return parsed(body, items_of); }

Result<UploadLimits> parse_limits(std::string_view body) { return parsed(body, limits_of); }

Result<MultipartUpload> parse_initiated(std::string_view body) {
  return parsed(body, initiated_of);
}

Result<std::string> parse_etag(std::string_view body) { return parsed(body, etag_of); }

bool is_unreadable(const Error& error) {
  return error.kind == ErrorKind::corrupt || error.code.starts_with("json_") ||
         error.code == "body_too_large";
}

std::string initiate_body(std::string_view name,
                          std::string_view data_type,
                          std::optional<std::uint64_t> size,
                          const std::optional<DataId>& existing) {
  Json body = {
      {"name", name}, {"data_type", data_type}, {"content_type", "application/octet-stream"}};
  if (size) body["size"] = *size;
  if (existing) body["existing_id"] = existing->str();
  return dump_json(body);
}

std::string complete_body(const std::vector<UploadedPart>& parts) {
  Json list = Json::array();
  for (const UploadedPart& part : parts) {
    list.push_back({{"part_number", part.number}, {"etag", part.etag}});
  }
  return dump_json(Json{{"parts", std::move(list)}});
}

}  // namespace pn::storage
