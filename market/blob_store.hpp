#pragma once

#include "base/awaitable.hpp"
#include "base/result.hpp"
#include "base/strong_id.hpp"
#include "base/time.hpp"
#include "http/body.hpp"
#include "http/server.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pn::market {

/// Names bytes in the store: a lower-case UUID. Bytes never change under an id.
using BlobId = StrongId<struct BlobIdTag>;

struct StoredBlob {
  BlobId id;
  std::uint64_t size = 0;
  std::string sha256;  ///< lower-case hex; empty for a part
  std::string etag{};  ///< of a part: the same for the same bytes

  friend bool operator==(const StoredBlob&, const StoredBlob&) = default;
};

/// One blob, or one part of an upload, as it comes in. Destroyed unfinished it leaves nothing (a
/// part: nothing that counts).
class BlobWriter {
 public:
  virtual ~BlobWriter() = default;
  /// Kind `full` when there is no space.
  virtual Awaitable<Result<void>> write(std::string_view bytes) = 0;
  /// Once, at the end: what is answered survives a power cut. For a part: its own size and etag.
  virtual Awaitable<Result<StoredBlob>> finish() = 0;
};

/// Bytes to be sent: one of the two is there.
struct BlobBody {
  std::optional<http::FileRange> file{};
  std::unique_ptr<http::BodySource> source{};
};

/// Where the domain server keeps bytes: files here, an object store later. Records (names, types,
/// who may read) are the database's. Thread: the market's loop.
///
/// An upload's parts go to their places in one object under the id that it will have: no copy is
/// made at its completion. The caller sees to it that nobody writes the same part twice at a time.
class BlobStore {
 public:
  virtual ~BlobStore() = default;

  virtual std::unique_ptr<BlobWriter> create() = 0;
  virtual std::unique_ptr<BlobWriter> write_part(BlobId upload, std::uint64_t offset) = 0;
  /// Makes an upload of `size` bytes a blob. Again for one that is a blob already: the same answer.
  /// Kind `corrupt` when its bytes are fewer or more.
  virtual Awaitable<Result<StoredBlob>> complete(BlobId upload, std::uint64_t size) = 0;
  /// Kind `not_found` when it is gone, which a reader may see whose record was replaced meanwhile.
  virtual Awaitable<Result<BlobBody>> open(BlobId id, std::uint64_t offset, std::uint64_t size) = 0;
  /// Removes a blob or an upload, some time soon. Who reads it now reads on.
  virtual void discard(const BlobId& id) = 0;

  /// Blobs and uploads that were last written before `before`, of one of kShards shards: for the
  /// search for bytes that a crash left without a record.
  virtual Awaitable<Result<std::vector<BlobId>>> settled(unsigned shard, SystemTime before) = 0;
  static constexpr unsigned kShards = 256;
};

}  // namespace pn::market
