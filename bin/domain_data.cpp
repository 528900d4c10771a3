#include "bin/domain_data.hpp"

#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/file.hpp"
#include "base/ids.hpp"
#include "base/offload.hpp"
#include "base/result.hpp"
#include "base/rng.hpp"
#include "base/secret.hpp"
#include "bin/client_session.hpp"
#include "storage/cid.hpp"
#include "storage/domain_calls.hpp"
#include "storage/domain_client.hpp"
#include "storage/file_body.hpp"
#include "storage/naming.hpp"
#include "storage/token_source.hpp"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace pn::bin {
namespace {

/// A session's grant as storage wants its tokens.
class GrantTokens final : public storage::TokenSource {
 public:
  GrantTokens(ClientSession& session, Secret<std::string> first)
      : session_(session), current_(std::move(first)) {}

  [[nodiscard]] Secret<std::string> current() override { return current_; }

  Awaitable<bool> wait_newer(const Secret<std::string>& used) override {
    if (used.reveal() == current_.reveal()) {
      session_.reject();
      const Result<DomainGrant> granted = co_await session_.grant();
      if (!granted) co_return false;
      current_ = granted->token;
    }
    co_return current_.reveal() != used.reveal();
  }

 private:
  ClientSession& session_;
  Secret<std::string> current_;
};

/// As a node's UPLOAD_PARALLEL by default.
constexpr unsigned kMostParallel = 8;

}  // namespace

DomainData::DomainData(ClientSession& session, Clock& clock, Rng& rng, ThreadPool& io)
    : session_(session),
      io_(io),
      parts_{.http = session.http(), .files = io, .clock = clock, .rng = rng, .limits = limits_} {}

DomainData::~DomainData() = default;

Awaitable<Result<void>> DomainData::ready() {
  if (client_) co_return Result<void>();
  Result<DomainGrant> granted = co_await session_.grant();
  if (!granted) co_return std::move(granted).error();
  if (client_) co_return Result<void>();  // another caller was faster
  storage::DomainClientOptions options;
  options.client_id = session_.settings().client_id;
  options.request_timeout = session_.settings().request_timeout;
  options.upload_parallel = std::clamp(std::thread::hardware_concurrency(), 1U, kMostParallel);
  auto tokens = std::make_unique<GrantTokens>(session_, std::move(granted->token));
  options.retry.tries = 6;  // somebody waits: a quarter of a minute, and not the two of a node
  options.retry_after_most = options.retry_for;
  client_.emplace(parts_,
                  std::move(granted->domain_server),
                  session_.settings().domain,
                  std::move(tokens),
                  std::move(options));
  co_return Result<void>();
}

Awaitable<Result<std::vector<DataItem>>> DomainData::list(DataFilter filter) {
  const Result<void> is_ready = co_await ready();
  if (!is_ready.ok()) co_return is_ready.error();
  storage::DataQuery query;
  query.name = std::move(filter.name);
  query.data_type = std::move(filter.data_type);
  Result<std::vector<DataItem>> items = co_await client_->list(std::move(query));
  co_return items;
}

Awaitable<Result<DataItem>> DomainData::describe(DataId id) {
  const Result<void> is_ready = co_await ready();
  if (!is_ready.ok()) co_return is_ready.error();
  Result<DataItem> item = co_await client_->describe(std::move(id));
  co_return item;
}

Awaitable<Result<PutFile>> DomainData::put(std::filesystem::path file,
                                           std::string name,
                                           std::string type) {
  const Result<void> is_ready = co_await ready();
  if (!is_ready.ok()) co_return is_ready.error();
  const bool by_content = name.empty();
  const auto open = [&file] { return storage::Content::of_file(file); };
  const Result<storage::Content> content = co_await offload(io_, open);
  if (!content) co_return content.error();
  const std::uint64_t size = content->size();
  const Result<std::string> hex = co_await storage::digest_of(*content, 0, size, io_);
  if (!hex) co_return within(file.string(), hex.error());

  storage::UploadOrder order;
  order.name = by_content ? storage::file_data_name(file.string(), *hex) : std::move(name);
  order.data_type = type.empty() ? storage::file_data_type(file.string()) : std::move(type);
  order.file = file;
  const Result<void> name_sound = storage::check_name("name", order.name);
  if (!name_sound.ok()) co_return name_sound.error();
  const Result<void> type_sound = storage::check_name("data type", order.data_type);
  if (!type_sound.ok()) co_return type_sound.error();
  storage::DataQuery query;
  query.name = order.name;
  query.data_type = order.data_type;
  Result<std::vector<DataItem>> there = co_await client_->list(std::move(query));
  if (!there) co_return std::move(there).error();
  PutFile out;
  for (DataItem& item : *there) {
    if (item.name != order.name || item.data_type != order.data_type) continue;
    const bool same = item.sha256.empty() ? by_content : item.sha256 == *hex;
    if (same && item.size == size) {
      out.item = std::move(item);
      out.reused = true;
      co_return out;
    }
    order.existing = std::move(item);
  }
  Result<DataItem> sent = co_await client_->upload(std::move(order));
  if (!sent) co_return std::move(sent).error();
  out.item = std::move(*sent);
  co_return out;
}

Awaitable<Result<void>> DomainData::get(DataId id, std::filesystem::path to) {
  const Result<void> is_ready = co_await ready();
  if (!is_ready.ok()) co_return is_ready.error();
  Result<std::uint64_t> got = co_await client_->download_raw(std::move(id), std::move(to));
  if (!got) co_return std::move(got).error();
  co_return Result<void>();
}

Awaitable<Result<void>> DomainData::remove(DataId id) {
  const Result<void> is_ready = co_await ready();
  if (!is_ready.ok()) co_return is_ready.error();
  Result<void> removed = co_await client_->remove(std::move(id));
  co_return removed;
}

}  // namespace pn::bin
