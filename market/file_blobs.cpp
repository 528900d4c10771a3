#include "market/file_blobs.hpp"

#include "base/awaitable.hpp"
#include "base/digest.hpp"
#include "base/encoding.hpp"
#include "base/file.hpp"
#include "base/offload.hpp"
#include "base/result.hpp"
#include "base/rng.hpp"
#include "base/time.hpp"
#include "market/blob_store.hpp"
#include "market/part_etag.hpp"
#include "market/upload_digest.hpp"

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <boost/asio/post.hpp>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace pn::market {
namespace {

namespace fs = std::filesystem;

/// Bytes gather up to this before a thread is asked to write them: a small blob costs one hop.
constexpr std::size_t kGather = 256 * 1024;

/// Gathers small pieces and writes on the pool. Shared by the two writers.
class FileWriter : public BlobWriter {
 public:
  FileWriter(ThreadPool& pool, BlobId id) : pool_(pool), id_(std::move(id)) {}

  Awaitable<Result<void>> write(std::string_view bytes) override {
    if (gathered_.size() + bytes.size() < kGather) {
      gathered_.append(bytes);
      co_return Result<void>();
    }
    const auto work = [this, bytes] { return flush(bytes); };
    Result<void> flushed = co_await offload(pool_, work);
    co_return flushed;
  }

  Awaitable<Result<StoredBlob>> finish() override {
    const auto work = [this]() -> Result<StoredBlob> {
      Result<void> done = flush({});
      if (!done) return std::move(done).error();
      return settle();
    };
    Result<StoredBlob> stored = co_await offload(pool_, work);
    co_return stored;
  }

 protected:
  // All on a thread of the pool.
  virtual Result<UniqueFd> open_file() = 0;
  virtual void wrote(std::string_view bytes) = 0;
  virtual Result<StoredBlob> settle() = 0;

  [[nodiscard]] ThreadPool& pool() const { return pool_; }
  [[nodiscard]] const BlobId& id() const { return id_; }
  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] bool opened() const { return static_cast<bool>(fd_); }
  [[nodiscard]] std::uint64_t size() const { return size_; }
  void close() { fd_.reset(); }

 private:
  /// What has gathered, and `more` after it.
  Result<void> flush(std::string_view more) {
    if (!fd_) {
      Result<UniqueFd> file = open_file();
      if (!file) return std::move(file).error();
      fd_ = std::move(*file);
    }
    for (const std::string_view bytes : {std::string_view(gathered_), more}) {
      Result<void> written = write_all(fd_.get(), bytes);
      if (!written) return written;
      wrote(bytes);
      size_ += bytes.size();
    }
    gathered_.clear();
    return {};
  }

  ThreadPool& pool_;
  const BlobId id_;
  UniqueFd fd_;
  std::uint64_t size_ = 0;
  std::string gathered_;
};

/// A new entry of a folder survives a power cut only when the folder was synced too.
Result<void> move_durably(const fs::path& from, const fs::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) {
    if (errno != ENOENT) return from_errno(errno, "cannot rename " + from.string());
    Result<void> made = make_folders(to.parent_path(), 0700);
    if (!made) return made;
    if (::rename(from.c_str(), to.c_str()) != 0) {
      return from_errno(errno, "cannot rename " + from.string());
    }
    const Result<void> synced = sync_folder(to.parent_path().parent_path());
    if (!synced) return synced;
  }
  return sync_folder(to.parent_path());
}

class NewBlob final : public FileWriter {
 public:
  NewBlob(ThreadPool& pool, BlobId id, fs::path temporary, fs::path path)
      : FileWriter(pool, std::move(id)), temporary_(std::move(temporary)), path_(std::move(path)) {}
  ~NewBlob() override {
    if (opened()) ::unlink(temporary_.c_str());
  }
  NewBlob(const NewBlob&) = delete;
  NewBlob& operator=(const NewBlob&) = delete;

 private:
  Result<UniqueFd> open_file() override { return create_new(temporary_, 0600); }
  void wrote(std::string_view bytes) override { hash_.update(bytes); }
  Result<StoredBlob> settle() override {
    if (::fsync(fd()) != 0) return from_errno(errno, "cannot fsync");
    Result<void> moved = move_durably(temporary_, path_);
    if (!moved) return std::move(moved).error();
    close();  // it is no longer ours to remove
    return StoredBlob{.id = id(), .size = size(), .sha256 = to_hex(hash_.finish())};
  }

  const fs::path temporary_;
  const fs::path path_;
  Sha256 hash_;
};

/// Takes in what is whole, a part a turn, so that the pool's threads are there for writers too.
void follow(ThreadPool& pool, std::shared_ptr<UploadDigest> digest, fs::path path) {
  const Executor executor = pool.executor();
  asio::post(executor, [&pool, digest = std::move(digest), path = std::move(path)] {
    if (digest->follow(path)) follow(pool, digest, path);
  });
}

bool is_there(const fs::path& path) {
  struct ::stat info{};
  return ::stat(path.c_str(), &info) == 0;
}

class UploadPartWriter final : public FileWriter {
 public:
  UploadPartWriter(ThreadPool& pool,
                   BlobId id,
                   fs::path path,
                   fs::path whole,
                   std::uint64_t offset,
                   std::shared_ptr<UploadDigest> digest)
      : FileWriter(pool, std::move(id)),
        path_(std::move(path)),
        whole_(std::move(whole)),
        offset_(offset),
        digest_(std::move(digest)) {
    digest_->begin(offset_);
  }

 private:
  Result<UniqueFd> open_file() override {
    // A completion whose record was refused has made it a blob. A part beside that would be all
    // that the next completion finds, amid zeros.
    if (!is_there(path_) && is_there(whole_)) {
      if (::rename(whole_.c_str(), path_.c_str()) != 0) {
        return from_errno(errno, "cannot rename " + whole_.string());
      }
    }
    UniqueFd file(::open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    if (!file) return from_errno(errno, "cannot open " + path_.string());
    if (::lseek(file.get(), static_cast<off_t>(offset_), SEEK_SET) < 0) {
      return from_errno(errno, "cannot seek in " + path_.string());
    }
    return file;
  }
  void wrote(std::string_view bytes) override { etag_.update(bytes); }
  Result<StoredBlob> settle() override {
    if (::fdatasync(fd()) != 0) return from_errno(errno, "cannot fsync");
    if (digest_->end(offset_, size())) follow(pool(), digest_, path_);
    return StoredBlob{.id = id(), .size = size(), .sha256 = {}, .etag = etag_.finish()};
  }

  const fs::path path_;
  const fs::path whole_;  ///< where a completion moves it
  const std::uint64_t offset_;
  PartEtag etag_;
  const std::shared_ptr<UploadDigest> digest_;  // shared with those that follow
};

/// A last part that was sent again, shorter, left its old end behind.
Result<void> cut_to(const fs::path& path, std::uint64_t size) {
  struct ::stat info{};
  if (::stat(path.c_str(), &info) != 0) return from_errno(errno, "cannot find " + path.string());
  if (static_cast<std::uint64_t>(info.st_size) <= size) return {};
  if (::truncate(path.c_str(), static_cast<off_t>(size)) == 0) return {};
  return from_errno(errno, "cannot cut " + path.string());
}

/// Nothing where there is no such folder. By increment(): a for over the range throws where a
/// network's file system fails in the middle.
Result<void> list_settled(const fs::path& folder,
                          std::string_view prefix,
                          SystemTime before,
                          std::vector<BlobId>& out) {
  std::error_code ec;
  fs::directory_iterator at(folder, ec);
  for (; !ec && at != fs::directory_iterator(); at.increment(ec)) {
    const std::string name = at->path().filename().string();
    struct ::stat info{};
    if (!name.starts_with(prefix) || ::stat(at->path().c_str(), &info) != 0) continue;
    const SystemTime written(std::chrono::seconds(info.st_mtim.tv_sec));
    if (S_ISREG(info.st_mode) && written < before) out.emplace_back(name);
  }
  if (!ec || ec == std::errc::no_such_file_or_directory) return {};
  return from_errno(ec.value(), "cannot list " + folder.string());
}

}  // namespace

Result<std::unique_ptr<FileBlobs>> FileBlobs::open(const fs::path& folder,
                                                   ThreadPool& pool,
                                                   Rng& rng) {
  for (const auto* name : {"tmp", "uploads"}) {
    Result<void> made = make_folders(folder / name, 0700);
    if (!made) return std::move(made).error();
  }
  std::error_code ec;
  fs::directory_iterator at(folder / "tmp", ec);
  for (; !ec && at != fs::directory_iterator(); at.increment(ec)) {
    std::error_code ignored;
    fs::remove(at->path(), ignored);
  }
  return std::unique_ptr<FileBlobs>(new FileBlobs(folder, pool, rng));
}

FileBlobs::FileBlobs(fs::path folder, ThreadPool& pool, Rng& rng)
    : folder_(std::move(folder)), pool_(pool), rng_(rng) {}

fs::path FileBlobs::path_of(const BlobId& id) const {
  return folder_ / id.str().substr(0, 2) / id.str();
}

fs::path FileBlobs::upload_path(const BlobId& id) const { return folder_ / "uploads" / id.str(); }

std::unique_ptr<BlobWriter> FileBlobs::create() {
  BlobId id(make_uuid(rng_));
  fs::path temporary = folder_ / "tmp" / id.str();
  fs::path path = path_of(id);
  return std::make_unique<NewBlob>(pool_, std::move(id), std::move(temporary), std::move(path));
}

std::unique_ptr<BlobWriter> FileBlobs::write_part(BlobId upload, std::uint64_t offset) {
  fs::path path = upload_path(upload);
  fs::path whole = path_of(upload);
  std::shared_ptr<UploadDigest>& digest = digests_[upload];
  if (!digest) digest = std::make_shared<UploadDigest>();
  return std::make_unique<UploadPartWriter>(
      pool_, std::move(upload), std::move(path), std::move(whole), offset, digest);
}

Awaitable<Result<StoredBlob>> FileBlobs::complete(BlobId upload, std::uint64_t size) {
  const fs::path from = upload_path(upload);
  const fs::path to = path_of(upload);
  const auto known = digests_.extract(upload);
  const std::shared_ptr<UploadDigest> digest = known ? known.mapped() : nullptr;
  const auto work = [&]() -> Result<StoredBlob> {
    const bool moved = is_there(to);  // and its answer was lost
    if (moved && is_there(from)) {
      return Error(ErrorKind::internal, "upload_twice", "an upload has a part beside its blob");
    }
    if (!moved) {
      Result<void> cut = cut_to(from, size);
      if (!cut) return std::move(cut).error();
    }
    std::optional<std::string> sha256;
    if (digest && !moved) sha256 = digest->finish(from, size);
    if (!sha256) {  // after a restart, say
      Sha256 hash;
      const Result<void> read = hash_range(moved ? to : from, 0, size, hash);
      if (!read) return read.error();
      sha256 = to_hex(hash.finish());
    }
    if (!moved) {
      Result<void> done = move_durably(from, to);
      if (!done) return std::move(done).error();
    }
    return StoredBlob{.id = upload, .size = size, .sha256 = *sha256};
  };
  Result<StoredBlob> stored = co_await offload(pool_, work);
  co_return stored;
}

Awaitable<Result<BlobBody>> FileBlobs::open(BlobId id, std::uint64_t offset, std::uint64_t size) {
  // Not on the pool: opening a file costs less than the hop there and back.
  Result<UniqueFd> file = open_read(path_of(id));
  if (!file) co_return std::move(file).error();
  BlobBody body;
  body.file.emplace();
  body.file->fd = std::move(*file);
  body.file->offset = offset;
  body.file->size = size;
  co_return body;
}

void FileBlobs::discard(const BlobId& id) {
  digests_.erase(id);
  // Freeing a large file takes a while.
  asio::post(pool_.executor(), [blob = path_of(id), upload = upload_path(id)] {
    ::unlink(blob.c_str());
    ::unlink(upload.c_str());
  });
}

Awaitable<Result<std::vector<BlobId>>> FileBlobs::settled(unsigned shard, SystemTime before) {
  std::array<char, 3> prefix{};
  std::snprintf(prefix.data(), prefix.size(), "%02x", shard & 0xffU);
  const auto work = [&]() -> Result<std::vector<BlobId>> {
    std::vector<BlobId> out;
    Result<void> listed = list_settled(folder_ / prefix.data(), prefix.data(), before, out);
    if (listed) listed = list_settled(folder_ / "uploads", prefix.data(), before, out);
    if (!listed) return std::move(listed).error();
    return out;
  };
  Result<std::vector<BlobId>> out = co_await offload(pool_, work);
  co_return out;
}

}  // namespace pn::market
