#include "base/awaitable.hpp"
#include "base/json.hpp"
#include "base/result.hpp"
#include "base/rng.hpp"
#include "base/time.hpp"
#include "http/body.hpp"
#include "http/server.hpp"
#include "market/answers.hpp"
#include "market/blob_store.hpp"
#include "market/data_service.hpp"
#include "market/data_store.hpp"
#include "market/data_types.hpp"
#include "market/database.hpp"
#include "market/tokens.hpp"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

namespace pn::market {
namespace {

using namespace std::chrono_literals;

constexpr auto kUploadLife = 24h;  // since it was begun, or its last part came
constexpr std::size_t kBuffer = 256 * 1024;
constexpr std::uint64_t kJsonLimit = 2 * 1024 * 1024;

Error no_upload() {
  return {ErrorKind::not_found,
          "upload_missing",
          "there is no such upload in this domain; it was aborted, or it expired"};
}

Error no_existing() {
  return {ErrorKind::not_found, "data_missing", "the domain has no data with the existing_id"};
}

Result<int> part_number(const http::ServerRequest& request) {
  const std::string text = request.query_value("partNumber").value_or("");
  int number = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failed != std::errc() || end != text.data() + text.size() || number < 1 ||
      number > kMaxParts) {
    return Error(ErrorKind::rejected, "part_number", "partNumber must be 1 to 10000");
  }
  return number;
}

/// How many bytes part `number` may hold.
Result<std::uint64_t> part_limit(const Upload& upload, int number) {
  if (!upload.size) return upload.part_size;
  const std::uint64_t offset = static_cast<std::uint64_t>(number - 1) * upload.part_size;
  if (offset >= *upload.size) {
    return Error(
        ErrorKind::rejected, "part_number", "the part begins past the size that was declared");
  }
  return std::min(upload.part_size, *upload.size - offset);
}

/// Marks a part, or a completion, as under way.
template <class Set>
class Marked {
 public:
  Marked(Set& set, typename Set::value_type value) : set_(set), at_(set.insert(std::move(value))) {}
  ~Marked() {
    if (at_.second) set_.erase(at_.first);
  }
  Marked(const Marked&) = delete;
  Marked& operator=(const Marked&) = delete;
  [[nodiscard]] bool is_first() const { return at_.second; }

 private:
  Set& set_;
  std::pair<typename Set::iterator, bool> at_;
};

/// Passes by itself: a client whose connection broke comes again before we have seen it go.
Error busy(std::string_view what) {
  Error error(ErrorKind::retry, "upload_busy", std::string(what));
  error.after = 1s;
  return error;
}

}  // namespace

DataService::Answer DataService::post_upload(http::ServerRequest& request) {
  const Result<DomainGrant> grant = authorize(request, DataAccess::write);
  if (!grant) co_return grant.error();
  if (request.has_query("uploads")) {
    Result<http::ServerResponse> begun = co_await begin_upload(request, grant->domain);
    co_return begun;
  }
  const UploadId id(request.query_value("uploadId").value_or(""));
  if (id.empty()) {
    co_return Error(
        ErrorKind::rejected, "upload_id", "the query needs \"uploads\" or \"uploadId\"");
  }
  Result<http::ServerResponse> done = co_await finish_upload(request, *grant, id);
  co_return done;
}

DataService::Answer DataService::begin_upload(http::ServerRequest& request, DomainId domain) {
  const Result<Json> body = co_await read_json(request, kJsonLimit);
  if (!body) co_return body.error();
  const Result<NewUpload> asked = parse_new_upload(*body);
  if (!asked) co_return asked.error();
  Upload upload;
  upload.id = UploadId(random_hex(parts_.rng, 16));  // safe in a URL as it stands
  upload.domain = domain;
  upload.name = asked->name;
  upload.data_type = asked->data_type;
  upload.existing = asked->existing;
  upload.size = asked->size;
  upload.part_size = part_size_for(asked->size);
  upload.blob = BlobId(make_uuid(parts_.rng));
  upload.created = parts_.clock.system_now();
  upload.expires = upload.created + kUploadLife;
  const std::function<Result<void>(soci::session&)> work =
      [&](soci::session& session) -> Result<void> {
    if (!upload.existing.empty()) {
      if (!find_item(session, domain, upload.existing)) return no_existing();
    } else if (find_item_named(session, domain, upload.name, upload.data_type)) {
      return Error(ErrorKind::rejected,
                   "name_taken",
                   "the domain has data of this name and type already; give its id as existing_id");
    }
    return insert_upload(session, upload);
  };
  const Result<void> written = co_await parts_.database.write<void>(work);
  if (!written) co_return written.error();
  co_return json_answer(200,
                        Json{{"upload_id", upload.id.str()},
                             {"part_size", upload.part_size},
                             {"expires_at", format_rfc3339(upload.expires)}});
}

Awaitable<Result<Upload>> DataService::upload_of(DomainId domain, UploadId id) {
  const SystemTime now = parts_.clock.system_now();
  const std::function<Result<Upload>(soci::session&)> work =
      [&](soci::session& session) -> Result<Upload> {
    std::optional<Upload> upload = find_upload(session, domain, id, now);
    if (!upload) return no_upload();
    return std::move(*upload);
  };
  Result<Upload> upload = co_await parts_.database.read<Upload>(work);
  co_return upload;
}

bool DataService::is_busy(const UploadId& id) const {
  const auto part = parts_in_progress_.lower_bound({id, 0});
  return completing_.contains(id) || (part != parts_in_progress_.end() && part->first == id);
}

DataService::Answer DataService::put_upload_part(http::ServerRequest& request) {
  const Result<DomainGrant> grant = authorize(request, DataAccess::write);
  if (!grant) co_return grant.error();
  const Result<int> number = part_number(request);
  if (!number) co_return number.error();
  const UploadId id(request.query_value("uploadId").value_or(""));
  if (completing_.contains(id)) co_return busy("the upload is being completed; try again");
  const std::pair<UploadId, int> key(id, *number);
  const Marked<std::set<std::pair<UploadId, int>>> mark(parts_in_progress_, key);
  if (!mark.is_first()) co_return busy("the same part is being received already; try again");

  const Result<Upload> upload = co_await upload_of(grant->domain, id);
  if (!upload) co_return upload.error();
  if (!upload->item.empty()) {
    co_return Error(ErrorKind::rejected, "conflict", "the upload is complete already");
  }
  const Result<std::uint64_t> limit = part_limit(*upload, *number);
  if (!limit) co_return limit.error();

  // Until the new bytes are whole the part counts as missing: they go where the old ones are.
  const std::function<Result<bool>(soci::session&)> forget =
      [&](soci::session& session) -> Result<bool> {
    erase_part(session, id, *number);
    return true;
  };
  const std::function<Result<std::vector<UploadPart>>(soci::session&)> look =
      [&](soci::session& session) -> Result<std::vector<UploadPart>> {
    return list_parts(session, id, *number);
  };
  const Result<std::vector<UploadPart>> before =
      co_await parts_.database.read<std::vector<UploadPart>>(look);
  if (!before) co_return before.error();
  if (!before->empty()) {
    const Result<bool> forgotten = co_await parts_.database.write<bool>(forget, Durable::yes);
    if (!forgotten) co_return forgotten.error();
  }
  const std::uint64_t offset = static_cast<std::uint64_t>(*number - 1) * upload->part_size;
  const std::unique_ptr<BlobWriter> writer = parts_.blobs.write_part(upload->blob, offset);
  const Result<StoredBlob> stored = co_await receive_part(request, *writer, *limit);
  if (!stored) co_return stored.error();

  UploadPart part;
  part.number = *number;
  part.size = stored->size;
  part.etag = stored->etag;
  const SystemTime now = parts_.clock.system_now();
  const std::function<Result<bool>(soci::session&)> work =
      [&](soci::session& session) -> Result<bool> {
    const auto still = find_upload(session, grant->domain, id, now);
    if (!still || !still->item.empty()) return no_upload();
    put_part(session, id, part);
    prolong_upload(session, id, now + kUploadLife);
    return true;
  };
  const Result<bool> written = co_await parts_.database.write<bool>(work);
  if (!written) {
    // Aborted meanwhile: our bytes may have come after its removal.
    if (written.error().kind == ErrorKind::not_found) parts_.blobs.discard(upload->blob);
    co_return written.error();
  }
  http::ServerResponse response = json_answer(200, Json{{"etag", part.etag}});
  response.headers.add("ETag", "\"" + part.etag + "\"");
  co_return response;
}

Awaitable<Result<StoredBlob>> DataService::receive_part(http::ServerRequest& request,
                                                        BlobWriter& writer,
                                                        std::uint64_t limit) {
  const Error too_large(ErrorKind::rejected,
                        "body_too_large",
                        "this part may hold at most " + std::to_string(limit) + " bytes");
  const std::uint64_t announced = request.body->size().value_or(0);
  if (announced > limit) co_return too_large;
  std::string buffer(announced > 0 ? std::min<std::uint64_t>(announced, kBuffer) : kBuffer, '\0');
  std::uint64_t total = 0;
  for (;;) {
    const Result<std::size_t> got = co_await http::read_full(*request.body, buffer);
    if (!got) co_return got.error();
    if (*got == 0) break;
    total += *got;
    if (total > limit) co_return too_large;  // before it is written over the next part
    const std::string_view bytes(buffer.data(), *got);
    const Result<void> written = co_await writer.write(bytes);
    if (!written) co_return written.error();
  }
  if (total == 0) co_return Error(ErrorKind::rejected, "part_empty", "a part must have content");
  Result<StoredBlob> stored = co_await writer.finish();
  co_return stored;
}

DataService::Answer DataService::finish_upload(http::ServerRequest& request,
                                               DomainGrant grant,
                                               UploadId id) {
  const Result<Json> body = co_await read_json(request, kJsonLimit);
  if (!body) co_return body.error();
  if (is_busy(id)) co_return busy("the upload is being written to; complete it after that");
  const Marked<std::set<UploadId>> mark(completing_, id);

  const Result<Upload> upload = co_await upload_of(grant.domain, id);
  if (!upload) co_return upload.error();
  if (!upload->item.empty()) {  // the answer was lost: it is given again
    const Result<DataItem> item = co_await item_of(grant.domain, upload->item);
    if (!item) co_return item.error();
    co_return json_answer(200, metadata_json(*item));
  }
  const Result<std::vector<UploadPart>> listed = parse_parts(*body);
  if (!listed) co_return listed.error();
  const std::function<Result<std::vector<UploadPart>>(soci::session&)> look =
      [&](soci::session& session) -> Result<std::vector<UploadPart>> {
    return list_parts(session, id);
  };
  const Result<std::vector<UploadPart>> stored =
      co_await parts_.database.read<std::vector<UploadPart>>(look);
  if (!stored) co_return stored.error();
  const Result<std::uint64_t> size = check_parts(*upload, *listed, *stored);
  if (!size) co_return size.error();
  const Result<StoredBlob> blob = co_await parts_.blobs.complete(upload->blob, *size);
  if (!blob) co_return blob.error();
  const Result<DataItem> item = co_await record_upload(grant, *upload, *blob);
  if (!item) co_return item.error();
  co_return json_answer(200, metadata_json(*item));
}

Awaitable<Result<DataItem>> DataService::record_upload(const DomainGrant& grant,
                                                       const Upload& upload,
                                                       const StoredBlob& blob) {
  const DataId new_id(make_uuid(parts_.rng));
  const SystemTime now = parts_.clock.system_now();
  BlobId replaced;
  const std::function<Result<DataItem>(soci::session&)> work =
      [&](soci::session& session) -> Result<DataItem> {
    Result<void> held = check_lease(session, grant);
    if (!held) return std::move(held).error();
    if (!find_upload(session, upload.domain, upload.id, now)) return no_upload();
    DataItem item;
    item.id = new_id;
    item.domain = upload.domain;
    item.created = now;
    if (!upload.existing.empty()) {
      std::optional<DataItem> old = find_item(session, upload.domain, upload.existing);
      if (!old) return no_existing();
      item = std::move(*old);
      replaced = item.blob.id;
    }
    if (!upload.name.empty()) item.name = upload.name;
    if (!upload.data_type.empty()) item.data_type = upload.data_type;
    item.blob = blob;
    item.updated = std::max(now, item.created);
    Result<void> done =
        upload.existing.empty() ? insert_item(session, item) : update_item(session, item);
    if (!done) return std::move(done).error();
    complete_upload(session, upload.id, item.id);
    return item;
  };
  // The bytes it replaces go at once, so the record must not be lost after them.
  const Durable durable = upload.existing.empty() ? Durable::no : Durable::yes;
  Result<DataItem> item = co_await parts_.database.write<DataItem>(work, durable);
  if (item && !replaced.empty()) parts_.blobs.discard(replaced);
  if (!item && item.error().code == "upload_missing") parts_.blobs.discard(blob.id);
  co_return item;
}

DataService::Answer DataService::abort_upload(http::ServerRequest& request) {
  const Result<DomainGrant> grant = authorize(request, DataAccess::write);
  if (!grant) co_return grant.error();
  const UploadId id(request.query_value("uploadId").value_or(""));
  const SystemTime now = parts_.clock.system_now();
  const std::function<Result<BlobId>(soci::session&)> work =
      [&](soci::session& session) -> Result<BlobId> {
    const std::optional<Upload> upload = find_upload(session, grant->domain, id, now);
    // Gone already, or complete and no longer to be aborted: what was asked for holds.
    if (!upload || !upload->item.empty()) return BlobId();
    erase_upload(session, id);
    return upload->blob;
  };
  const Result<BlobId> blob = co_await parts_.database.write<BlobId>(work);
  if (!blob) co_return blob.error();
  if (!blob->empty()) parts_.blobs.discard(*blob);
  co_return http::ServerResponse::empty(204);
}

}  // namespace pn::market
