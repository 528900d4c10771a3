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
#include "market/database.hpp"
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

/// Takes the parts of a form as its bytes come, each into a blob of its own.
class DataService::Form {
 public:
  Form(BlobStore& blobs, Loose& loose, const std::string& boundary, Write write)
      : blobs_(blobs),
        loose_(loose),
        write_(write),
        reader_(boundary, http::MultipartReader::Delimit::by_boundary) {}
  Form(const Form&) = delete;
  Form& operator=(const Form&) = delete;

  Awaitable<Result<void>> take(std::string_view bytes) {
    using What = http::MultipartReader::What;
    reader_.feed(bytes);
    for (;;) {
      const Result<http::MultipartReader::Event> event = reader_.next();
      if (!event) co_return event.error();
      Result<void> done;
      switch (event->what) {
        case What::need_input:
        case What::end:
          co_return Result<void>();
        case What::part:
          done = begin_part();
          break;
        case What::data:
          done = co_await writer_->write(event->data);
          break;
        case What::part_end:
          done = co_await end_part();
          break;
      }
      if (!done) co_return done;
    }
  }

  Result<std::vector<Received>> finish() {
    Result<void> finished = reader_.finish();
    if (!finished) return std::move(finished).error();
    if (parts_.empty()) return Error(ErrorKind::rejected, "no_parts", "the form has no part");
    return std::move(parts_);
  }

 private:
  Result<void> begin_part() {
    const http::PartHeader& header = reader_.part();
    Result<void> sound = check_header(header, write_ == Write::create);
    if (!sound) return sound;
    if (parts_.size() == kMaxFormParts) {
      return Error(ErrorKind::rejected, "too_many_parts", "a request may have 1000 parts");
    }
    Received part;
    part.id = DataId(header.get("id"));
    part.name = header.get("name");
    part.data_type = header.get("data-type");
    parts_.push_back(std::move(part));
    writer_ = blobs_.create();
    return {};
  }

  Awaitable<Result<void>> end_part() {
    Result<StoredBlob> stored = co_await writer_->finish();
    if (!stored) co_return std::move(stored).error();
    loose_.add(stored->id);
    parts_.back().blob = std::move(*stored);
    writer_.reset();
    co_return Result<void>();
  }

  BlobStore& blobs_;
  Loose& loose_;
  const Write write_;
  http::MultipartReader reader_;
  std::unique_ptr<BlobWriter> writer_;
  std::vector<Received> parts_;
};

Awaitable<Result<std::vector<DataService::Received>>> DataService::receive(
    http::ServerRequest& request, Loose& loose, Write write) {
  const std::string type(request.headers.find("content-type").value_or(""));
  const Result<std::string> boundary = http::MultipartReader::boundary_of(type);
  if (!boundary) co_return boundary.error();
  const std::uint64_t announced = request.body->size().value_or(kBuffer);
  if (announced > kRequestMaxBytes) co_return too_large();

  Form form(parts_.blobs, loose, *boundary, write);
  std::string buffer(std::clamp<std::uint64_t>(announced, 1024, kBuffer), '\0');
  std::uint64_t total = 0;
  for (;;) {
    const Result<std::size_t> got = co_await request.body->read(buffer);
    if (!got) co_return got.error();
    if (*got == 0) break;
    total += *got;
    if (total > kRequestMaxBytes) co_return too_large();
    const std::string_view bytes(buffer.data(), *got);
    const Result<void> taken = co_await form.take(bytes);
    if (!taken) co_return taken.error();
  }
  co_return form.finish();
}

/// The records of one request, all or none, in the writer's transaction.
struct DataService::Recording {
  Write write;
  DomainId domain;
  SystemTime now;
  const std::vector<Received>& parts;
  std::vector<DataId> new_ids{};   ///< one a part, where records are created
  std::vector<BlobId> replaced{};  ///< by these records, once they stand

  Result<std::vector<DataItem>> run(soci::session& session) {
    std::vector<DataItem> items;
    replaced.clear();
    for (std::size_t i = 0; i < parts.size(); ++i) {
      Result<DataItem> item =
          write == Write::create ? created(session, i) : updated(session, parts[i]);
      if (!item) return std::move(item).error();
      items.push_back(std::move(*item));
    }
    return items;
  }

 private:
  void fill(DataItem& item, const Received& part) const {
    if (!part.name.empty()) item.name = part.name;
    if (!part.data_type.empty()) item.data_type = part.data_type;
    item.blob = part.blob;
    item.updated = std::max(now, item.created);
  }

  Result<DataItem> created(soci::session& session, std::size_t i) const {
    DataItem item;
    item.id = new_ids[i];
    item.domain = domain;
    item.created = now;
    fill(item, parts[i]);
    Result<void> done = insert_item(session, item);
    if (!done) return std::move(done).error();
    return item;
  }

  Result<DataItem> updated(soci::session& session, const Received& part) {
    std::optional<DataItem> item = part.id.empty()
                                       ? find_item_named(session, domain, part.name, part.data_type)
                                       : find_item(session, domain, part.id);
    if (!item) {
      return Error(ErrorKind::not_found, "data_missing", "the domain has no such data to update");
    }
    replaced.push_back(item->blob.id);
    fill(*item, part);
    Result<void> done = update_item(session, *item);
    if (!done) return std::move(done).error();
    return std::move(*item);
  }
};

DataService::Answer DataService::store(http::ServerRequest& request, Write write) {
  const Result<DomainGrant> grant = authorize(request, DataAccess::write);
  if (!grant) co_return grant.error();
  Loose loose(parts_.blobs, loose_);
  const Result<std::vector<Received>> received = co_await receive(request, loose, write);
  if (!received) co_return received.error();

  Recording recording{.write = write,
                      .domain = grant->domain,
                      .now = parts_.clock.system_now(),
                      .parts = *received};
  if (write == Write::create) {
    for (std::size_t i = 0; i < received->size(); ++i) {
      recording.new_ids.emplace_back(make_uuid(parts_.rng));
    }
  }
  const std::function<Result<std::vector<DataItem>>(soci::session&)> work =
      [&](soci::session& session) -> Result<std::vector<DataItem>> {
    Result<void> held = check_lease(session, *grant);
    if (!held) return std::move(held).error();
    return recording.run(session);
  };
  // The bytes that an update replaces go at once, so its record must not be lost after them.
  const Durable durable = write == Write::update ? Durable::yes : Durable::no;
  const Result<std::vector<DataItem>> items =
      co_await parts_.database.write<std::vector<DataItem>>(work, durable);
  if (!items) co_return items.error();
  loose.taken();
  for (const BlobId& blob : recording.replaced) parts_.blobs.discard(blob);
  Json data = Json::array();
  for (const DataItem& item : *items) data.push_back(metadata_json(item));
  co_return json_answer(200, Json{{"data", std::move(data)}});
}

}  // namespace pn::market
