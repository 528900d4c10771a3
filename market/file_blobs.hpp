#pragma once

#include "base/offload.hpp"
#include "base/rng.hpp"
#include "market/blob_store.hpp"
#include "market/upload_digest.hpp"

#include <filesystem>
#include <map>
#include <memory>

namespace pn::market {

/// Blobs as files: DIR/<first 2 hex digits>/<uuid>, written as DIR/tmp/<uuid>, fsync, rename;
/// uploads in DIR/uploads/<uuid>. File calls run on the pool, and so does what reads an upload's
/// parts back for the digest of the whole.
class FileBlobs final : public BlobStore {
 public:
  /// Makes the folders and removes what a crash left half written. Blocks. The pool and the rng
  /// outlive the store.
  static Result<std::unique_ptr<FileBlobs>> open(const std::filesystem::path& folder,
                                                 ThreadPool& pool,
                                                 Rng& rng);

  std::unique_ptr<BlobWriter> create() override;
  std::unique_ptr<BlobWriter> write_part(BlobId upload, std::uint64_t offset) override;
  Awaitable<Result<StoredBlob>> complete(BlobId upload, std::uint64_t size) override;
  Awaitable<Result<BlobBody>> open(BlobId id, std::uint64_t offset, std::uint64_t size) override;
  void discard(const BlobId& id) override;
  Awaitable<Result<std::vector<BlobId>>> settled(unsigned shard, SystemTime before) override;

 private:
  FileBlobs(std::filesystem::path folder, ThreadPool& pool, Rng& rng);

  [[nodiscard]] std::filesystem::path path_of(const BlobId& id) const;
  [[nodiscard]] std::filesystem::path upload_path(const BlobId& id) const;

  const std::filesystem::path folder_;
  ThreadPool& pool_;
  Rng& rng_;
  /// Of uploads that parts came of since we started, until they are complete or given up; shared
  /// with their writers.
  std::map<BlobId, std::shared_ptr<UploadDigest>> digests_;
};

}  // namespace pn::market
