#include "market/data_types.hpp"

#include "base/encoding.hpp"
#include "base/json.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "market/blob_store.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

namespace pn::market {
namespace {

constexpr std::uint64_t kMiB = 1024 * 1024;
constexpr std::uint64_t kPartSize = 8 * kMiB;
constexpr std::size_t kNameLimit = 128;
constexpr std::uint64_t kSizeLimit = std::uint64_t{1} << 50U;

Error rejected(std::string_view code, std::string what) {
  return {ErrorKind::rejected, std::string(code), std::move(what)};
}

bool is_sound(std::string_view text) {
  if (text.empty() || text.size() > kNameLimit) return false;
  const bool plain = std::ranges::none_of(
      text, [](char c) { return c == '/' || static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
  // What is no UTF-8 would come back changed in JSON, and then be found no more.
  return plain && Json(text).dump(-1, ' ', false, Json::error_handler_t::ignore) ==
                      Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string unquoted(std::string_view text) {
  if (text.size() >= 2 && text.starts_with('"') && text.ends_with('"')) {
    text = text.substr(1, text.size() - 2);
  }
  return std::string(text);
}

}  // namespace

Result<void> check_data_name(std::string_view name, std::string_view data_type) {
  if (!is_sound(name)) {
    return rejected("data_name", "a name must have 1 to 128 bytes of UTF-8 without \"/\"");
  }
  if (!is_sound(data_type)) {
    return rejected("data_type", "a data type must have 1 to 128 bytes of UTF-8 without \"/\"");
  }
  return {};
}

std::string digest_field(const StoredBlob& blob) {
  const auto digest = from_hex(blob.sha256).value_or(std::vector<unsigned char>());
  return "sha-256=:" + to_base64(std::string(digest.begin(), digest.end())) + ":";
}

std::uint64_t part_size_for(std::optional<std::uint64_t> size) {
  const std::uint64_t least = (size.value_or(0) + kMaxParts - 1) / kMaxParts;
  return std::max(kPartSize, (least + kMiB - 1) / kMiB * kMiB);
}

Json metadata_json(const DataItem& item) {
  return {{"id", item.id.str()},
          {"domain_id", item.domain.str()},
          {"name", item.name},
          {"data_type", item.data_type},
          {"size", item.blob.size},
          {"created_at", format_rfc3339(item.created)},
          {"updated_at", format_rfc3339(item.updated)},
          {"digest", digest_field(item.blob)}};
}

Result<NewUpload> parse_new_upload(const Json& body) {
  JsonFields fields(body, "upload");
  NewUpload out;
  out.name = fields.string("name").value_or("");
  out.data_type = fields.string("data_type").value_or("");
  out.existing = DataId(fields.string("existing_id").value_or(""));
  const auto size = fields.integer("size");
  Result<void> done = fields.done();
  if (!done) return std::move(done).error();
  if (out.existing.empty() || !out.name.empty() || !out.data_type.empty()) {
    Result<void> named = check_data_name(out.name, out.data_type);
    if (!named) return std::move(named).error();
  }
  if (!size) return out;
  if (*size <= 0) {
    return rejected("upload_empty", "empty content goes in one request, not in a multipart upload");
  }
  out.size = static_cast<std::uint64_t>(*size);
  if (*out.size > kSizeLimit) {
    return rejected("body_too_large", "an upload may hold at most 1 PiB");
  }
  return out;
}

Result<std::vector<UploadPart>> parse_parts(const Json& body) {
  JsonFields fields(body, "completion");
  const Json* const list = fields.array("parts");
  Result<void> done = fields.done();
  if (!done) return std::move(done).error();
  if (list == nullptr || list->empty() || list->size() > kMaxParts) {
    return rejected("parts_order", "\"parts\" must list 1 to 10000 parts");
  }
  std::vector<UploadPart> out;
  out.reserve(list->size());
  for (const Json& one : *list) {
    if (!one.is_object()) return rejected("parts_order", "each of \"parts\" must be an object");
    JsonFields part(one, "part");
    const std::int64_t number = part.need_integer("part_number");
    const std::string etag = part.need_string("etag");
    Result<void> read = part.done();
    if (!read) return std::move(read).error();
    if (number != static_cast<std::int64_t>(out.size()) + 1) {
      return rejected("parts_order", "parts must be listed in order, from 1 without a gap");
    }
    out.push_back({static_cast<int>(number), 0, unquoted(etag)});
  }
  return out;
}

Result<std::uint64_t> check_parts(const Upload& upload,
                                  const std::vector<UploadPart>& listed,
                                  const std::vector<UploadPart>& stored) {
  std::uint64_t total = 0;
  for (const UploadPart& part : listed) {
    const std::string which = "part " + std::to_string(part.number);
    const auto have = std::ranges::find(stored, part.number, &UploadPart::number);
    if (have == stored.end()) return rejected("part_missing", which + " was never received");
    if (have->etag != part.etag) {
      return rejected("part_etag", which + " was received with another etag; send it again");
    }
    const bool last = part.number == listed.back().number;
    if (!last && have->size != upload.part_size) {
      return rejected("part_size",
                      which + " has " + std::to_string(have->size) +
                          " bytes; all but the last must have " + std::to_string(upload.part_size));
    }
    total += have->size;
  }
  if (stored.size() != listed.size()) {
    return rejected("part_missing", "more parts were received than are listed");
  }
  if (upload.size && *upload.size != total) {
    return rejected("upload_size",
                    "the parts have " + std::to_string(total) +
                        " bytes, the upload was declared with " + std::to_string(*upload.size));
  }
  return total;
}

}  // namespace pn::market
