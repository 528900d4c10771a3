#include "market/upload_digest.hpp"

#include "base/digest.hpp"
#include "base/encoding.hpp"
#include "base/file.hpp"
#include "base/result.hpp"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include <sys/types.h>
#include <unistd.h>

namespace pn::market {
namespace {

constexpr std::uint64_t kPiece = 256 * 1024;

}  // namespace

void UploadDigest::begin(std::uint64_t offset) {
  const std::scoped_lock lock(mutex_);
  if (offset < std::max(hashed_, reading_to_)) given_up_ = true;
  whole_.erase(offset);
}

bool UploadDigest::end(std::uint64_t offset, std::uint64_t size) {
  const std::scoped_lock lock(mutex_);
  whole_.insert_or_assign(offset, size);
  return ready() && !reading_;
}

bool UploadDigest::follow(const std::filesystem::path& path) { return step(path, By::follower); }

bool UploadDigest::step(const std::filesystem::path& path, By by) {
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
  {
    const std::scoped_lock lock(mutex_);
    if (reading_ || !ready() || finishing_ != (by == By::finisher)) return false;
    reading_ = true;
    offset = hashed_;
    size = whole_.at(offset);
    reading_to_ = offset + size;
  }
  const bool read = hash_range(path, offset, size, hash_).ok();
  const std::scoped_lock lock(mutex_);
  reading_ = false;
  rested_.notify_all();
  if (!read) given_up_ = true;
  hashed_ = reading_to_;
  whole_.erase(offset);
  return ready();
}

std::optional<std::string> UploadDigest::finish(const std::filesystem::path& path,
                                                std::uint64_t size) {
  {
    std::unique_lock lock(mutex_);
    finishing_ = true;
    rested_.wait(lock, [this] { return !reading_; });
  }
  while (step(path, By::finisher)) {
  }
  const std::scoped_lock lock(mutex_);
  if (given_up_ || hashed_ != size) return std::nullopt;
  return to_hex(hash_.finish());
}

Result<void> hash_range(const std::filesystem::path& path,
                        std::uint64_t offset,
                        std::uint64_t size,
                        Sha256& hash) {
  const Result<UniqueFd> file = open_read(path);
  if (!file) return file.error();
  std::string piece(std::clamp<std::uint64_t>(size, 1, kPiece), '\0');
  for (std::uint64_t at = 0; at < size;) {
    const std::size_t want = std::min<std::uint64_t>(piece.size(), size - at);
    const ssize_t got = ::pread(file->get(), piece.data(), want, static_cast<off_t>(offset + at));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return from_errno(errno, "cannot read " + path.string());
    if (got == 0) {
      return Error(ErrorKind::corrupt,
                   "upload_size",
                   "the upload holds " + std::to_string(offset + at) +
                       " bytes where its parts have " + std::to_string(offset + size));
    }
    hash.update(std::string_view(piece.data(), static_cast<std::size_t>(got)));
    at += static_cast<std::uint64_t>(got);
  }
  return {};
}

}  // namespace pn::market
