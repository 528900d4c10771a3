#include "base/awaitable.hpp"
#include "base/ids.hpp"
#include "base/json.hpp"
#include "base/result.hpp"
#include "base/rng.hpp"
#include "base/time.hpp"
#include "http/multipart.hpp"
#include "http/server.hpp"
#include "http/types.hpp"
#include "market/answers.hpp"
#include "market/blob_store.hpp"
#include "market/data_loose.hpp"
#include "market/data_service.hpp"
#include "market/data_store.hpp"
#include "market/data_types.hpp"
#include "market/tokens.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

namespace pn::market {
namespace {

constexpr std::size_t kBuffer = 64 * 1024;
constexpr std::size_t kMaxFormParts = 1000;

Error too_large() {
  return {ErrorKind::rejected,
          "body_too_large",
          "one request may hold at most " + std::to_string(kRequestMaxBytes) +
              " bytes; use a multipart upload"};
}

}  // namespace

/// One part of a form: whole and durable, but without a record.
struct DataService::Received {
  DataId id;  ///< empty: named by name and type
  std::string name;
  std::string data_type;
  StoredBlob blob;
};

DataService::Answer DataService::create(http::ServerRequest& request) {
  return store(request, Write::create);
}

DataService::Answer DataService::update(http::ServerRequest& request) {
  return store(request, Write::update);
}

namespace {

/// What a part's header must say. Kind `rejected`.
Result<void> check_header(const http::PartHeader& header, bool creates) {
  const std::string name = header.get("name");
  const std::string data_type = header.get("data-type");
  const bool by_id = !header.get("id").empty();
  if (creates && by_id) {
    return Error(ErrorKind::rejected, "data_id", "the server gives ids: leave out id, or use PUT");
  }
  if (!by_id || !name.empty() || !data_type.empty()) return check_data_name(name, data_type);
  return {};
}

}  // namespace

Awaitable<Result<std::vector<DataService::Received>>> DataService::receive(
    http::ServerRequest& request, Loose& loose) {
  const bool creates = request.method == http::Method::post;
  const std::string type(request.headers.find("content-type").value_or(""));
  Result<std::string> boundary = http::MultipartReader::boundary_of(type);
  if (!boundary) co_return std::move(boundary).error();
  const std::uint64_t announced = request.body->size().value_or(kBuffer);
  if (announced > kRequestMaxBytes) co_return too_large();

  using What = http::MultipartReader::What;
  http::MultipartReader reader(*boundary, http::MultipartReader::Delimit::by_boundary);
  std::string buffer(std::clamp<std::uint64_t>(announced, 1024, kBuffer), '\0');
  std::unique_ptr<BlobWriter> writer;
  std::vector<Received> out;
  std::uint64_t total = 0;
  for (;;) {
    const Result<std::size_t> got = co_await request.body->read(buffer);
    if (!got) co_return got.error();
    if (*got == 0) break;
    total += *got;
    if (total > kRequestMaxBytes) co_return too_large();
    reader.feed(std::string_view(buffer.data(), *got));
    What what = What::part;
    while (what != What::need_input && what != What::end) {
      const Result<http::MultipartReader::Event> event = reader.next();
      if (!event) co_return event.error();
      what = event->what;
      if (what == What::part) {
        const http::PartHeader& header = reader.part();
        const Result<void> sound = check_header(header, creates);
        if (!sound) co_return sound.error();
        if (out.size() == kMaxFormParts) {
          co_return Error(ErrorKind::rejected, "too_many_parts", "a request may have 1000 parts");
        }
        Received part;
        part.id = DataId(header.get("id"));
        part.name = header.get("name");
        part.data_type = header.get("data-type");
        out.push_back(std::move(part));
        writer = parts_.blobs.create();
      } else if (what == What::data) {
        const Result<void> written = co_await writer->write(event->data);
        if (!written) co_return written.error();
      } else if (what == What::part_end) {
        Result<StoredBlob> stored = co_await writer->finish();
        if (!stored) co_return std::move(stored).error();
        loose.add(stored->id);
        out.back().blob = std::move(*stored);
        writer.reset();
      }
    }
  }
  const Result<void> finished = reader.finish();
  if (!finished) co_return finished.error();
  if (out.empty()) co_return Error(ErrorKind::rejected, "no_parts", "the form has no part");
  co_return out;
}

DataService::Answer DataService::store(http::ServerRequest& request, Write write) {
  const Result<DomainGrant> grant = authorize(request, DataAccess::write);
  if (!grant) co_return grant.error();
  Loose loose(parts_.blobs);
  const Result<std::vector<Received>> received = co_await receive(request, loose);
  if (!received) co_return received.error();

  std::vector<DataId> new_ids;
  if (write == Write::create) {
    for (std::size_t i = 0; i < received->size(); ++i) new_ids.emplace_back(make_uuid(parts_.rng));
  }
  const SystemTime now = parts_.clock.system_now();
  std::vector<BlobId> replaced;
  const std::function<Result<std::vector<DataItem>>(soci::session&)> work =
      [&](soci::session& session) -> Result<std::vector<DataItem>> {
    std::vector<DataItem> items;
    replaced.clear();
    for (std::size_t i = 0; i < received->size(); ++i) {
      const Received& part = (*received)[i];
      DataItem item;
      if (write == Write::create) {
        item.id = new_ids[i];
        item.domain = grant->domain;
        item.created = now;
      } else {
        std::optional<DataItem> old =
            part.id.empty() ? find_item_named(session, grant->domain, part.name, part.data_type)
                            : find_item(session, grant->domain, part.id);
        if (!old) {
          return Error(
              ErrorKind::not_found, "data_missing", "the domain has no such data to update");
        }
        item = std::move(*old);
        replaced.push_back(item.blob.id);
      }
      if (!part.name.empty()) item.name = part.name;
      if (!part.data_type.empty()) item.data_type = part.data_type;
      item.blob = part.blob;
      item.updated = std::max(now, item.created);
      Result<void> done =
          write == Write::create ? insert_item(session, item) : update_item(session, item);
      if (!done) return std::move(done).error();
      items.push_back(std::move(item));
    }
    return items;
  };
  const Result<std::vector<DataItem>> items =
      co_await parts_.database.write<std::vector<DataItem>>(work);
  if (!items) co_return items.error();
  loose.taken();
  for (const BlobId& blob : replaced) parts_.blobs.discard(blob);
  Json data = Json::array();
  for (const DataItem& item : *items) data.push_back(metadata_json(item));
  co_return json_answer(200, Json{{"data", std::move(data)}});
}

}  // namespace pn::market
