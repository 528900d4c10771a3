#include "storage/domain_client.hpp"

#include "base/awaitable.hpp"
#include "base/ids.hpp"
#include "base/log.hpp"
#include "base/offload.hpp"
#include "base/result.hpp"
#include "base/rng.hpp"
#include "http/client.hpp"
#include "http/types.hpp"
#include "http/url.hpp"
#include "storage/cid.hpp"
#include "storage/domain_calls.hpp"
#include "storage/domain_json.hpp"
#include "storage/download.hpp"
#include "storage/file_body.hpp"
#include "storage/naming.hpp"
#include "storage/ports.hpp"
#include "storage/token_source.hpp"
#include "storage/upload.hpp"
#include "storage/upload_feed.hpp"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace pn::storage {
namespace {

/// A listing comes whole, about 270 bytes an item: the ordinary limit is reached at 7,500 items.
constexpr std::uint64_t kListLimit = 64 * 1024 * 1024;

http::Url with(http::Url url, const DataQuery& query) {
  std::string ids;
  for (const DataId& id : query.ids) ids += (ids.empty() ? "" : ",") + id.str();
  if (!ids.empty()) url = url.with_query("ids", ids);
  if (!query.name.empty()) url = url.with_query("name", query.name);
  if (!query.data_type.empty()) url = url.with_query("data_type", query.data_type);
  return url;
}

}  // namespace

DomainClient::DomainClient(DomainClientParts parts,
                           http::Url server,
                           DomainId domain,
                           std::unique_ptr<TokenSource> tokens,
                           DomainClientOptions options)
    : calls_(std::move(parts),
             std::move(server),
             std::move(domain),
             std::move(tokens),
             std::move(options)) {}

Awaitable<Result<std::vector<DataItem>>> DomainClient::list(DataQuery query) {
  http::Request request = calls_.call(http::Method::get, with(calls_.data(), query));
  request.body_limit = kListLimit;
  const Result<http::Response> answer = co_await calls_.exchange(std::move(request));
  if (answer.ok() && answer->status == 404) co_return std::vector<DataItem>();
  const Result<http::Response> good = success(answer);
  if (!good.ok()) co_return good.error();
  co_return parse_items(good->body);
}

Awaitable<Result<DataItem>> DomainClient::describe(DataId id) {
  http::Request request = calls_.call(http::Method::get, calls_.data().append({id.str()}));
  const Result<http::Response> answer = co_await calls_.exchange(std::move(request));
  const Result<http::Response> good = success(answer);
  if (!good.ok()) co_return within("data " + id.str(), good.error());
  co_return parse_item(good->body);
}

Awaitable<Result<void>> DomainClient::remove(DataId id) {
  http::Request request = calls_.call(http::Method::del, calls_.data().append({id.str()}));
  const Result<http::Response> answer = co_await calls_.exchange(std::move(request));
  const Result<http::Response> good = success(answer);
  if (!good.ok()) co_return within("data " + id.str(), good.error());
  co_return Result<void>();
}

Awaitable<Result<std::vector<InputFile>>> DomainClient::download(DataQuery query,
                                                                 std::filesystem::path folder) {
  Patience patience = calls_.patience();
  for (;;) {
    Result<std::vector<InputFile>> files = co_await download_once(query, folder);
    if (files.ok()) co_return files;
    const bool again = co_await patience.again(files.error());
    if (!again) co_return files;
    calls_.parts().logger.debug("storage.download_retried", {log::field(files.error())});
  }
}

Awaitable<Result<std::vector<InputFile>>> DomainClient::download_once(
    const DataQuery& query, const std::filesystem::path& folder) {
  PartsSink sink(folder, calls_.parts().files);
  http::Request request = calls_.transfer(http::Method::get, with(calls_.data(), query));
  request.headers.set("Accept", "multipart/form-data");
  request.sink = &sink;
  const Result<http::Response> answer = co_await calls_.once(std::move(request));
  const Result<http::Response> good = success(answer);
  Result<std::vector<InputFile>> files = co_await sink.end(good.ok());
  if (!good.ok()) co_return good.error();
  co_return files;
}

Awaitable<Result<std::uint64_t>> DomainClient::download_raw(DataId id, std::filesystem::path path) {
  Patience patience = calls_.patience();
  for (;;) {
    Result<std::uint64_t> size = co_await download_raw_once(id, path);
    if (size.ok()) co_return size;
    const bool again = co_await patience.again(size.error());
    if (!again) co_return within("data " + id.str(), size.error());
    calls_.parts().logger.debug("storage.download_retried", {log::field(size.error())});
  }
}

Awaitable<Result<std::uint64_t>> DomainClient::download_raw_once(
    const DataId& id, const std::filesystem::path& path) {
  std::filesystem::path temporary = path;
  temporary += "." + random_hex(calls_.parts().rng, 4) + ".part";
  RawSink sink(temporary, calls_.parts().files);
  const http::Url url = calls_.data().append({id.str()}).with_query("raw", "true");
  http::Request request = calls_.transfer(http::Method::get, url);
  request.headers.set("Accept", "*/*");
  request.sink = &sink;
  const Result<http::Response> answer = co_await calls_.once(std::move(request));
  const Result<http::Response> good = success(answer);
  if (!good.ok()) co_return good.error();
  Result<std::uint64_t> size = co_await sink.commit(path);
  co_return size;
}

Awaitable<Result<DataItem>> DomainClient::upload(UploadOrder order) {
  std::optional<Content> content;
  if (order.file.empty()) {
    content = Content::of_bytes(std::move(order.bytes));
  } else {
    const auto open = [&order] { return Content::of_file(order.file); };
    Result<Content> opened = co_await offload(calls_.parts().files, open);
    if (!opened.ok()) co_return std::move(opened).error();
    content = *std::move(opened);
  }
  UploadTarget target;
  target.name = std::move(order.name);
  target.data_type = std::move(order.data_type);
  target.existing = std::move(order.existing);
  target.resume = order.resume;
  WholeFeed feed(*content);
  Result<DataItem> done = co_await upload(std::move(target), feed);
  co_return done;
}

Awaitable<Result<DataItem>> DomainClient::upload(UploadTarget target, UploadFeed& feed) {
  const Result<void> name = check_name("name", target.name);
  if (!name.ok()) co_return name.error();
  const Result<void> type = check_name("data type", target.data_type);
  if (!type.ok()) co_return type.error();
  const std::string what = "upload of " + target.name;
  Upload upload(calls_, feed, std::move(target));
  Result<DataItem> done = co_await upload.run();
  if (!done.ok()) co_return within(what, done.error());
  co_return done;
}

}  // namespace pn::storage
