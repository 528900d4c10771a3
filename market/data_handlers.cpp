#include "base/awaitable.hpp"
#include "base/ids.hpp"
#include "base/json.hpp"
#include "base/result.hpp"
#include "base/rng.hpp"
#include "http/server.hpp"
#include "market/answers.hpp"
#include "market/blob_store.hpp"
#include "market/data_ranges.hpp"
#include "market/data_service.hpp"
#include "market/data_store.hpp"
#include "market/data_stream.hpp"
#include "market/data_types.hpp"
#include "market/database.hpp"
#include "market/tokens.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

namespace pn::market {
namespace {

constexpr std::size_t kMaxIds = 1000;

Error no_item() { return {ErrorKind::not_found, "data_missing", "the domain has no such data"}; }

Result<DataFilter> parse_filter(const http::ServerRequest& request) {
  DataFilter out;
  out.name = request.query_value("name").value_or("");
  out.data_type = request.query_value("data_type").value_or("");
  std::string ids = request.query_value("ids").value_or("");
  for (std::size_t at = 0; at < ids.size();) {
    const std::size_t comma = std::min(ids.find(',', at), ids.size());
    if (comma > at) out.ids.push_back(ids.substr(at, comma - at));
    at = comma + 1;
  }
  if (out.ids.size() > kMaxIds) {
    return Error(ErrorKind::rejected, "too_many_ids", "at most 1000 ids can be asked for at once");
  }
  return out;
}

/// The answer with an item's bytes, but for the bytes: `range` says which. 304 and 416 have none.
http::ServerResponse raw_head(const http::ServerRequest& request,
                              const DataItem& item,
                              RangeAnswer& range) {
  const std::string etag = "\"" + item.blob.sha256 + "\"";
  const std::uint64_t size = item.blob.size;
  http::ServerResponse response;
  response.headers.add("ETag", etag);
  response.headers.add("Accept-Ranges", "bytes");
  const auto known = request.headers.find("if-none-match");
  if (known && etag_matches(*known, etag)) {
    response.status = 304;
    return response;
  }
  range = RangeAnswer{.kind = RangeKind::whole, .range = {.offset = 0, .size = size}};
  const auto asked = request.headers.find("range");
  const auto only_if = request.headers.find("if-range");
  if (asked && (!only_if || *only_if == etag)) range = parse_range(*asked, size);
  if (range.kind == RangeKind::unsatisfiable) {
    response = http::error_response(416, "range", "the range begins past the end of the data");
    response.headers.add("Content-Range", "bytes */" + std::to_string(size));
    return response;
  }
  response.headers.add("Content-Type", "application/octet-stream");
  const std::string encoded = digest_field(item.blob);
  // RFC 9530: Content-Digest is of what this answer carries, Repr-Digest of the whole.
  response.headers.add("Repr-Digest", encoded);
  if (range.kind == RangeKind::whole) {
    response.headers.add("Content-Digest", encoded);
    return response;
  }
  response.status = 206;
  response.headers.add("Content-Range",
                       "bytes " + std::to_string(range.range.offset) + "-" +
                           std::to_string(range.range.offset + range.range.size - 1) + "/" +
                           std::to_string(size));
  return response;
}

bool wants_multipart(const http::ServerRequest& request) {
  const std::string accept(request.headers.find("accept").value_or(""));
  const std::size_t multipart = accept.find("multipart/form-data");
  return multipart < accept.find("application/json");  // npos is the largest
}

}  // namespace

DataService::Answer DataService::list(http::ServerRequest& request) {
  const Result<DomainGrant> grant = authorize(request, DataAccess::read);
  if (!grant) co_return grant.error();
  Result<DataFilter> filter = parse_filter(request);
  if (!filter) co_return std::move(filter).error();
  ItemPages pages(parts_.database, grant->domain, std::move(*filter));
  Result<std::vector<DataItem>> first = co_await pages.next();
  if (!first) co_return std::move(first).error();

  http::ServerResponse response;
  if (wants_multipart(request)) {
    if (first->empty()) co_return no_item();
    // Unquoted, and nothing after it: peers take the rest of the field as it stands.
    const std::string boundary = "posenode-" + random_hex(parts_.rng, 16);
    response.headers.add("Content-Type", "multipart/form-data; boundary=" + boundary);
    // Lets a client whose connection breaks know whether it has missed a part.
    if (pages.ended()) response.headers.add("Posemesh-Part-Count", std::to_string(first->size()));
    response.source =
        multipart_listing(parts_.blobs, std::move(*first), std::move(pages), boundary);
    co_return response;
  }
  response.headers.add("Content-Type", "application/json");
  if (!pages.ended()) {
    response.source = json_listing(std::move(*first), std::move(pages));
    co_return response;
  }
  Json data = Json::array();
  for (const DataItem& item : *first) data.push_back(metadata_json(item));
  response.body = dump_json(Json{{"data", std::move(data)}});
  co_return response;
}

Awaitable<Result<DataItem>> DataService::item_of(DomainId domain, DataId id) {
  const std::function<Result<DataItem>(soci::session&)> work =
      [&](soci::session& session) -> Result<DataItem> {
    std::optional<DataItem> item = find_item(session, domain, id);
    if (!item) return no_item();
    return std::move(*item);
  };
  Result<DataItem> item = co_await parts_.database.read<DataItem>(work);
  co_return item;
}

DataService::Answer DataService::read(http::ServerRequest& request) {
  const Result<DomainGrant> grant = authorize(request, DataAccess::read);
  if (!grant) co_return grant.error();
  const DataId id(request.params.at("id"));
  const std::string wants_raw = request.query_value("raw").value_or("false");
  if (wants_raw != "false" && wants_raw != "0") {
    Result<http::ServerResponse> bytes = co_await raw(request, grant->domain, id);
    co_return bytes;
  }
  const Result<DataItem> item = co_await item_of(grant->domain, id);
  if (!item) co_return item.error();
  co_return json_answer(200, metadata_json(*item));
}

DataService::Answer DataService::raw(const http::ServerRequest& request,
                                     DomainId domain,
                                     DataId id) {
  constexpr int kTries = 3;
  Error missing(ErrorKind::internal, "blob_missing", "");
  for (int tries = 0; tries < kTries; ++tries) {
    const Result<DataItem> item = co_await item_of(domain, id);
    if (!item) co_return item.error();
    RangeAnswer range;
    http::ServerResponse response = raw_head(request, *item, range);
    if (response.status >= 300) co_return response;
    Result<BlobBody> body =
        co_await parts_.blobs.open(item->blob.id, range.range.offset, range.range.size);
    if (body) {
      response.file = std::move(body->file);
      response.source = std::move(body->source);
      co_return response;
    }
    missing.detail = body.error().detail;
    if (body.error().kind != ErrorKind::not_found) break;
    // Replaced since its record was read: once more.
  }
  co_return missing;
}

DataService::Answer DataService::remove(http::ServerRequest& request) {
  const Result<DomainGrant> grant = authorize(request, DataAccess::write);
  if (!grant) co_return grant.error();
  const DataId id(request.params.at("id"));
  const std::function<Result<BlobId>(soci::session&)> work =
      [&](soci::session& session) -> Result<BlobId> {
    Result<void> held = check_lease(session, *grant);
    if (!held) return std::move(held).error();
    const std::optional<DataItem> item = find_item(session, grant->domain, id);
    if (!item) return no_item();
    erase_item(session, id);
    return item->blob.id;
  };
  // Its bytes go at once: a power cut must not bring the record back without them.
  const Result<BlobId> blob = co_await parts_.database.write<BlobId>(work, Durable::yes);
  if (!blob) co_return blob.error();
  parts_.blobs.discard(*blob);
  co_return http::ServerResponse::empty(204);
}

}  // namespace pn::market
