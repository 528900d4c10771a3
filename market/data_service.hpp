#pragma once

#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/log.hpp"
#include "base/offload.hpp"
#include "base/rng.hpp"
#include "http/server.hpp"
#include "market/blob_store.hpp"
#include "market/data_types.hpp"
#include "market/database.hpp"
#include "market/tokens.hpp"

#include <set>
#include <string>
#include <utility>
#include <vector>

namespace pn::market {

/// What the domain server works with. All of it outlives the service.
struct DataParts {
  Clock& clock;
  Rng& rng;
  log::Logger logger;
  Database& database;
  Tokens& tokens;
  BlobStore& blobs;
};

/// The domain server (wire.md): records in the database, bytes in the blob store.
///
/// Order of every write: bytes whole and durable, then the record in one transaction (durable too
/// when it replaces or removes bytes), then the bytes it replaced are let go. A crash in between
/// leaves bytes without a record, which clean() finds; never a record without bytes. Thread: the
/// market's loop.
class DataService final {
 public:
  explicit DataService(DataParts parts) : parts_(std::move(parts)) {}
  DataService(const DataService&) = delete;
  DataService& operator=(const DataService&) = delete;

  /// Removes expired uploads every ten minutes, and bytes without a record at the start and once a
  /// day. Until cancelled.
  Awaitable<void> clean();
  /// One round each of the above.
  Awaitable<void> remove_expired_uploads();
  Awaitable<void> remove_unknown_blobs();

  using Answer = Awaitable<Result<http::ServerResponse>>;

  // data_handlers.cpp
  Answer list(http::ServerRequest& request);
  Answer read(http::ServerRequest& request);
  Answer remove(http::ServerRequest& request);
  // data_write_handlers.cpp
  Answer create(http::ServerRequest& request);
  Answer update(http::ServerRequest& request);
  // data_upload_handlers.cpp
  Answer post_upload(http::ServerRequest& request);  ///< initiate and complete
  Answer put_upload_part(http::ServerRequest& request);
  Answer abort_upload(http::ServerRequest& request);

  /// An Error becomes its answer; what only the host can mend becomes an event too.
  Awaitable<http::ServerResponse> answered(Answer answer);

 private:
  /// Blobs that are dropped when no record takes them.
  class Loose;
  struct Received;
  class Form;
  struct Recording;
  enum class Write { create, update };

  Result<DomainGrant> authorize(const http::ServerRequest& request, DataAccess access);
  Answer raw(const http::ServerRequest& request, DomainId domain, DataId id);
  Awaitable<Result<DataItem>> item_of(DomainId domain, DataId id);
  Awaitable<Result<std::vector<Received>>> receive(http::ServerRequest& request,
                                                   Loose& loose,
                                                   Write write);
  Answer store(http::ServerRequest& request, Write write);
  Answer begin_upload(http::ServerRequest& request, DomainId domain);
  Answer finish_upload(http::ServerRequest& request, DomainGrant grant, UploadId id);
  Awaitable<Result<Upload>> upload_of(DomainId domain, UploadId id);
  Awaitable<Result<StoredBlob>> receive_part(http::ServerRequest& request,
                                             BlobWriter& writer,
                                             std::uint64_t limit);
  Awaitable<Result<DataItem>> record_upload(const DomainGrant& grant,
                                            const Upload& upload,
                                            const StoredBlob& blob);
  [[nodiscard]] bool is_busy(const UploadId& id) const;

  DataParts parts_;
  std::set<std::pair<UploadId, int>> parts_in_progress_;
  std::set<UploadId> completing_;
  std::set<BlobId> loose_;
};

/// All of the domain server's routes, /api/v1/info included. The service outlives the router.
void add_data_routes(http::Router& router, DataService& service);

}  // namespace pn::market
