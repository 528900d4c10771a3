#include "storage/domain_client.hpp"

#include "base/awaitable.hpp"
#include "base/ids.hpp"
#include "base/offload.hpp"
#include "base/result.hpp"
#include "base/rng.hpp"
#include "base/time.hpp"
#include "http/client.hpp"
#include "http/types.hpp"
#include "http/url.hpp"
#include "storage/cid.hpp"
#include "storage/data_list.hpp"
#include "storage/domain_calls.hpp"
#include "storage/domain_json.hpp"
#include "storage/download.hpp"
#include "storage/file_body.hpp"
#include "storage/incoming_file.hpp"
#include "storage/naming.hpp"
#include "storage/ports.hpp"
#include "storage/raw_download.hpp"
#include "storage/token_source.hpp"
#include "storage/upload.hpp"
#include "storage/upload_feed.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <sys/stat.h>
#include <unistd.h>

namespace pn::storage {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kTemporary = ".part";
constexpr std::size_t kRandomBytes = 4;
/// One that is being written to is younger, however slow its transfer.
constexpr std::chrono::hours kLeft{24};

/// "<name>.<hex digits>.part", as a raw download to `name` makes it.
bool is_temporary_of(std::string_view file, std::string_view name) {
  if (!file.starts_with(name) || !file.ends_with(kTemporary)) return false;
  if (file.size() != name.size() + 1 + 2 * kRandomBytes + kTemporary.size()) return false;
  const std::string_view random = file.substr(name.size() + 1, 2 * kRandomBytes);
  return file[name.size()] == '.' &&
         random.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

/// What a process that was killed left of a download to the same path.
void remove_leftovers(const fs::path& path, SystemTime now) {
  const std::string name = path.filename().string();
  const fs::path folder = path.parent_path().empty() ? fs::path(".") : path.parent_path();
  std::error_code failed;
  fs::directory_iterator at(folder, failed);
  for (; !failed && at != fs::directory_iterator(); at.increment(failed)) {
    if (!is_temporary_of(at->path().filename().string(), name)) continue;
    struct stat found{};
    if (::lstat(at->path().c_str(), &found) != 0 || !S_ISREG(found.st_mode)) continue;
    const SystemTime written{std::chrono::seconds(found.st_mtim.tv_sec)};
    if (now - written > kLeft) ::unlink(at->path().c_str());
  }
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
             std::move(options)),
      budget_(calls_.options().max_input_bytes) {}

Awaitable<Result<std::vector<DataItem>>> DomainClient::list(DataQuery query) {
  Result<std::vector<DataItem>> listed = co_await list_data(calls_, std::move(query));
  if (!listed.ok() && listed.error().code == "http_404") co_return std::vector<DataItem>();
  co_return listed;
}

Awaitable<Result<DataItem>> DomainClient::describe(DataId id) {
  Result<DataItem> item = co_await describe_data(calls_, std::move(id));
  co_return item;
}

Awaitable<Result<void>> DomainClient::remove(DataId id) {
  http::Request request = calls_.call(http::Method::del, calls_.data().append({id.str()}));
  const Result<http::Response> answer = co_await calls_.exchange(std::move(request));
  const Result<http::Response> good = success(answer);
  if (!good.ok()) co_return within("data " + id.str(), good.error());
  co_return Result<void>();
}

Awaitable<Result<std::vector<InputFile>>> DomainClient::download(DownloadOrder order) {
  Download download(calls_, budget_, std::move(order));
  Result<std::vector<InputFile>> files = co_await download.run();
  co_return files;
}

Awaitable<Result<std::vector<InputFile>>> DomainClient::download(DataQuery query,
                                                                 std::filesystem::path folder) {
  DownloadOrder order;
  order.query = std::move(query);
  order.folder = std::move(folder);
  Result<std::vector<InputFile>> files = co_await download(std::move(order));
  co_return files;
}

Awaitable<Result<std::uint64_t>> DomainClient::download_raw(DataId id, std::filesystem::path path) {
  fs::path temporary = path;
  temporary += "." + random_hex(calls_.parts().rng, kRandomBytes) + std::string(kTemporary);
  const SystemTime now = calls_.parts().clock.system_now();
  const auto create = [&path, &temporary, now] {
    remove_leftovers(path, now);
    return IncomingFile::create(temporary);
  };
  Result<IncomingFile> file = co_await offload(calls_.parts().files, create);
  if (!file.ok()) co_return std::move(file).error();
  RawDownload::Expected nothing;
  RawDownload raw(calls_, id, std::move(nothing), *std::move(file));
  const Result<void> done = co_await raw.run();
  if (!done.ok()) co_return within("data " + id.str(), done.error());
  IncomingFile whole = std::move(raw).take();
  const auto commit = [&whole, &path] { return whole.commit(path); };
  const Result<void> committed = co_await offload(calls_.parts().files, commit);
  if (!committed.ok()) co_return committed.error();
  co_return whole.size();
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
