#pragma once

#include "base/awaitable.hpp"
#include "base/file.hpp"
#include "base/ids.hpp"
#include "base/offload.hpp"
#include "base/result.hpp"
#include "http/url.hpp"
#include "storage/cid.hpp"
#include "storage/domain_calls.hpp"
#include "storage/domain_json.hpp"
#include "storage/download.hpp"
#include "storage/input_budget.hpp"
#include "storage/ports.hpp"
#include "storage/token_source.hpp"
#include "storage/upload_feed.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace pn::storage {

/// What upload() puts under a name and type, which the domain holds once.
struct UploadOrder {
  std::string name;
  std::string data_type;
  std::filesystem::path file{};  ///< empty: `bytes`. Must not change meanwhile
  std::string bytes{};
  std::optional<DataItem> existing{};  ///< the record to update, where it is known
};

/// The data of one domain, for a task (its token) or for a client command (a domain grant). Nothing
/// is ever held whole in memory. Calls that fail for the moment (429, 5xx, no connection) are tried
/// again for a while; other kinds are answered as they are. Thread: one loop's; file I/O goes to
/// the pool.
class DomainClient final {
 public:
  DomainClient(DomainClientParts parts,
               http::Url server,
               DomainId domain,
               std::unique_ptr<TokenSource> tokens,
               DomainClientOptions options);

  [[nodiscard]] const http::Url& server() const { return calls_.server(); }
  [[nodiscard]] const DomainId& domain() const { return calls_.domain(); }
  [[nodiscard]] const DomainClientOptions& options() const { return calls_.options(); }

  /// Metadata; an empty list where nothing fits.
  Awaitable<Result<std::vector<DataItem>>> list(DataQuery query);
  Awaitable<Result<DataItem>> describe(DataId id);

  /// All items of a query into a folder which must not exist, under their download_path(). All of
  /// them, whole and verified, or no folder; see Download. Kind `not_found` when there is none;
  /// `full`, code "task_disk_full", when they are more than max_input_bytes leaves.
  Awaitable<Result<std::vector<InputFile>>> download(DownloadOrder order);
  Awaitable<Result<std::vector<InputFile>>> download(DataQuery query, std::filesystem::path folder);
  /// One item's bytes to `path`, replacing what is there when they have come whole and verified;
  /// see RawDownload. Until then they are in "<path>.<8 hex digits>.part"; what a process that was
  /// killed left there is removed when it is a day old. Answers the number of bytes.
  Awaitable<Result<std::uint64_t>> download_raw(DataId id, std::filesystem::path path);

  /// Creates or updates; see Upload.
  Awaitable<Result<DataItem>> upload(UploadOrder order);
  /// The same of what is still being written. `feed` outlives the await.
  Awaitable<Result<DataItem>> upload(UploadTarget target, UploadFeed& feed);
  /// How many parts of one upload are under way at a time.
  [[nodiscard]] std::size_t upload_parallel() const { return calls_.options().upload_parallel; }
  [[nodiscard]] ThreadPool& files() const { return calls_.parts().files; }
  /// As DomainCalls has it.
  [[nodiscard]] MakeRoom make_room() const { return calls_.make_room(); }
  Awaitable<Result<void>> remove(DataId id);

 private:
  DomainCalls calls_;
  InputBudget budget_;
};

}  // namespace pn::storage
