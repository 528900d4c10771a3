#include "market/data_stream.hpp"

#include "base/awaitable.hpp"
#include "base/file.hpp"
#include "base/json.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "http/body.hpp"
#include "http/multipart.hpp"
#include "market/blob_store.hpp"
#include "market/data_store.hpp"
#include "market/data_types.hpp"
#include "market/database.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>
#include <unistd.h>

namespace pn::market {
namespace {

constexpr int kPage = 256;
constexpr std::uint64_t kSentByKernel = 64 * 1024;  // smaller items are joined into one piece

/// Text that is made piece by piece and read in pieces of another size.
class Pending {
 public:
  void set(std::string text) {
    text_ = std::move(text);
    at_ = 0;
  }
  [[nodiscard]] bool empty() const { return at_ == text_.size(); }
  std::size_t take(std::span<char> buffer) {
    const std::size_t count = std::min(buffer.size(), text_.size() - at_);
    std::memcpy(buffer.data(), text_.data() + at_, count);
    at_ += count;
    return count;
  }

 private:
  std::string text_;
  std::size_t at_ = 0;
};

class JsonListing final : public http::BodySource {
 public:
  JsonListing(std::vector<DataItem> first, ItemPages rest)
      : page_(std::move(first)), rest_(std::move(rest)) {}

  [[nodiscard]] std::optional<std::uint64_t> size() const override { return std::nullopt; }
  bool rewind() override { return false; }

  Awaitable<Result<std::size_t>> read(std::span<char> buffer) override {
    if (pending_.empty() && !done_) {
      if (begun_) {
        Result<std::vector<DataItem>> page = co_await rest_.next();
        if (!page) co_return std::move(page).error();
        page_ = std::move(*page);
      }
      pending_.set(render());
    }
    co_return pending_.take(buffer);
  }

 private:
  std::string render() {
    std::string out = begun_ ? "" : "{\"data\":[";
    for (const DataItem& item : page_) {
      if (!first_) out += ',';
      first_ = false;
      out += dump_json(metadata_json(item));
    }
    begun_ = true;
    if (page_.empty() || rest_.ended()) {
      out += "]}";
      done_ = true;
    }
    return out;
  }

  std::vector<DataItem> page_;
  ItemPages rest_;
  Pending pending_;
  bool begun_ = false;
  bool first_ = true;
  bool done_ = false;
};

class MultipartListing final : public http::BodySource {
 public:
  MultipartListing(BlobStore& blobs,
                   std::vector<DataItem> first,
                   ItemPages rest,
                   std::string boundary)
      : blobs_(blobs),
        page_(std::move(first)),
        rest_(std::move(rest)),
        boundary_(std::move(boundary)) {}

  [[nodiscard]] std::optional<std::uint64_t> size() const override { return std::nullopt; }
  bool rewind() override { return false; }

  Awaitable<Result<std::size_t>> read(std::span<char> buffer) override {
    std::size_t filled = 0;
    while (filled < buffer.size()) {
      const std::span<char> room = buffer.subspan(filled);
      if (!pending_.empty()) {
        filled += pending_.take(room);
        continue;
      }
      if (left_ > 0) {
        if (filled > 0 && kernel_sends()) break;
        const Result<std::size_t> got = co_await read_blob(room);
        if (!got) co_return got;
        filled += *got;
        continue;
      }
      if (ended_) break;
      const Result<void> begun = co_await begin_next();
      if (!begun) co_return begun.error();
    }
    co_return filled;
  }

  std::optional<http::FileRange> take_file() override {
    if (!pending_.empty() || !kernel_sends()) return std::nullopt;
    std::optional<http::FileRange> out = std::exchange(body_.file, std::nullopt);
    out->size = std::exchange(left_, 0);
    pending_.set("\r\n");
    return out;
  }

 private:
  [[nodiscard]] bool kernel_sends() const { return body_.file && left_ >= kSentByKernel; }

  Awaitable<Result<std::size_t>> read_blob(std::span<char> buffer) {
    const std::size_t want =
        static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), left_));
    const std::span<char> piece = buffer.first(want);
    Result<std::size_t> got = std::size_t{0};
    if (body_.file) {
      got = read_file(piece);
    } else {
      got = co_await body_.source->read(piece);
    }
    if (!got) co_return got;
    if (*got == 0) {
      co_return Error(ErrorKind::internal, "blob_short", "a blob is shorter than its record says");
    }
    left_ -= *got;
    if (left_ == 0) pending_.set("\r\n");
    co_return got;
  }

  /// Not on a pool: it is little, and reading it costs less than the hop there and back.
  Result<std::size_t> read_file(std::span<char> piece) {
    http::FileRange& file = *body_.file;
    const ssize_t count =
        ::pread(file.fd.get(), piece.data(), piece.size(), static_cast<off_t>(file.offset));
    if (count < 0) return from_errno(errno, "cannot read a blob");
    file.offset += static_cast<std::uint64_t>(count);
    return static_cast<std::size_t>(count);
  }

  /// The next item's head, or the end of the body.
  Awaitable<Result<void>> begin_next() {
    if (at_ == page_.size() && !rest_.ended()) {
      Result<std::vector<DataItem>> page = co_await rest_.next();
      if (!page) co_return std::move(page).error();
      page_ = std::move(*page);
      at_ = 0;
    }
    if (at_ == page_.size()) {
      pending_.set(http::closing_delimiter(boundary_));
      ended_ = true;
      co_return Result<void>();
    }
    DataItem& item = page_[at_++];
    const Result<bool> opened = co_await open_item(item);
    if (!opened) co_return opened.error();
    if (*opened) begin(item);
    co_return Result<void>();
  }

  /// Opens the item's bytes. One that was replaced since its page was read becomes what it is now;
  /// false: it is gone.
  Awaitable<Result<bool>> open_item(DataItem& item) {
    Result<BlobBody> body = co_await blobs_.open(item.blob.id, 0, item.blob.size);
    if (!body && body.error().kind == ErrorKind::not_found) {
      Result<std::optional<DataItem>> now = co_await rest_.again(item.id);
      if (!now) co_return std::move(now).error();
      if (!*now) co_return false;
      item = std::move(**now);
      body = co_await blobs_.open(item.blob.id, 0, item.blob.size);
    }
    if (!body) co_return std::move(body).error();
    body_ = std::move(*body);
    co_return true;
  }

  void begin(const DataItem& item) {
    left_ = item.blob.size;
    std::string head = http::part_head(boundary_,
                                       "application/octet-stream",
                                       {{"name", item.name},
                                        {"data-type", item.data_type},
                                        {"id", item.id.str()},
                                        {"domain-id", item.domain.str()},
                                        {"size", std::to_string(item.blob.size)},
                                        {"created-at", format_rfc3339(item.created)},
                                        {"updated-at", format_rfc3339(item.updated)}},
                                       digest_field(item.blob));
    if (left_ == 0) head += "\r\n";
    pending_.set(std::move(head));
  }

  BlobStore& blobs_;
  std::vector<DataItem> page_;
  std::size_t at_ = 0;
  ItemPages rest_;
  const std::string boundary_;
  Pending pending_;
  BlobBody body_;
  std::uint64_t left_ = 0;
  bool ended_ = false;
};

}  // namespace

ItemPages::ItemPages(Database& database, DomainId domain, DataFilter filter)
    : database_(&database), domain_(std::move(domain)), filter_(std::move(filter)) {}

Awaitable<Result<std::vector<DataItem>>> ItemPages::next() {
  const std::function<Result<std::vector<DataItem>>(soci::session&)> work =
      [this](soci::session& session) -> Result<std::vector<DataItem>> {
    if (!filter_.ids.empty()) return find_items(session, domain_, filter_);
    return list_items(session, domain_, filter_, after_, kPage);
  };
  Result<std::vector<DataItem>> page = co_await database_->read<std::vector<DataItem>>(work);
  if (!page) co_return page;
  ended_ = !filter_.ids.empty() || page->size() < kPage;
  if (!page->empty()) after_ = page->back().seq;
  co_return page;
}

Awaitable<Result<std::optional<DataItem>>> ItemPages::again(DataId id) {
  const std::function<Result<std::optional<DataItem>>(soci::session&)> work =
      [&](soci::session& session) -> Result<std::optional<DataItem>> {
    return find_item(session, domain_, id);
  };
  Result<std::optional<DataItem>> item = co_await database_->read<std::optional<DataItem>>(work);
  co_return item;
}

std::unique_ptr<http::BodySource> json_listing(std::vector<DataItem> first, ItemPages rest) {
  return std::make_unique<JsonListing>(std::move(first), std::move(rest));
}

std::unique_ptr<http::BodySource> multipart_listing(BlobStore& blobs,
                                                    std::vector<DataItem> first,
                                                    ItemPages rest,
                                                    std::string boundary) {
  return std::make_unique<MultipartListing>(
      blobs, std::move(first), std::move(rest), std::move(boundary));
}

}  // namespace pn::market
