#include "storage/file_body.hpp"

#include "base/awaitable.hpp"
#include "base/digest.hpp"
#include "base/encoding.hpp"
#include "base/file.hpp"
#include "base/offload.hpp"
#include "base/result.hpp"
#include "storage/file_content.hpp"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sys/types.h>
#include <unistd.h>

namespace pn::storage {
namespace {

constexpr std::size_t kDigestPiece = 256 * 1024;
constexpr std::uint64_t kDigestSlice = 16 * 1024 * 1024;  // some 10 ms
/// A file up to this size is read when it is opened: for a small one, each visit of another thread
/// costs more than its bytes.
constexpr std::uint64_t kHeld = 64 * 1024;

}  // namespace

Result<Content> Content::of_file(const std::filesystem::path& path) {
  Result<Content> out = of_open(path);
  if (!out.ok() || out->size_ > kHeld) return out;
  std::string bytes(static_cast<std::size_t>(out->size_), '\0');
  const Result<std::size_t> got = out->read(0, bytes);
  if (!got.ok()) return got.error();
  return of_bytes(std::move(bytes));
}

Result<Content> Content::of_growing_file(const std::filesystem::path& path) {
  Result<Content> out = of_open(path);
  if (out.ok()) out->size_ = std::numeric_limits<std::uint64_t>::max();
  return out;
}

Result<Content> Content::of_open(const std::filesystem::path& path) {
  Result<RegularFile> file = open_regular(path);
  if (!file.ok()) return std::move(file).error();
  Content out;
  out.fd_ = std::move(file->fd);
  out.size_ = file->size;
  return out;
}

Content Content::of_bytes(std::string bytes) {
  Content out;
  out.size_ = bytes.size();
  out.bytes_ = std::move(bytes);
  return out;
}

Result<std::size_t> Content::read(std::uint64_t offset, std::span<char> buffer) const {
  const std::uint64_t left = offset < size_ ? size_ - offset : 0;
  const std::size_t wanted = std::min<std::uint64_t>(buffer.size(), left);
  if (in_memory()) {
    if (wanted > 0) std::memcpy(buffer.data(), bytes_.data() + offset, wanted);
    return wanted;
  }
  std::size_t have = 0;
  while (have < wanted) {
    const ssize_t got =
        ::pread(fd_.get(), buffer.data() + have, wanted - have, static_cast<off_t>(offset + have));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return from_errno(errno, "cannot read a file that is being uploaded");
    if (got == 0) {
      return Error(ErrorKind::corrupt, "file_changed", "a file became shorter during its upload");
    }
    have += static_cast<std::size_t>(got);
  }
  return have;
}

Awaitable<Result<std::string>> digest_of(const Content& content,
                                         std::uint64_t offset,
                                         std::uint64_t size,
                                         ThreadPool& files) {
  Sha256 hash;
  std::vector<char> piece(std::min<std::uint64_t>(size, kDigestPiece));
  const auto slice = [&]() -> Result<void> {
    for (std::uint64_t done = 0; size > 0 && done < kDigestSlice;) {
      const std::span<char> room(piece.data(), std::min<std::uint64_t>(size, piece.size()));
      const Result<std::size_t> got = content.read(offset, room);
      if (!got.ok()) return got.error();
      hash.update(std::string_view(piece.data(), *got));
      offset += *got;
      size = *got > 0 ? size - *got : 0;
      done += *got;
    }
    return {};
  };
  while (size > 0) {
    const Result<void> done = co_await offload(files, slice);
    if (!done.ok()) co_return done.error();
  }
  co_return to_hex(hash.finish());
}

std::optional<std::string> ContentSource::digest() {
  if (!digest_ || at_ < head_.size() + range_.size) return std::nullopt;
  std::string out = to_hex(digest_->finish());
  digest_.reset();
  return out;
}

Result<std::size_t> ContentSource::read_content(std::uint64_t offset, std::span<char> room) {
  Result<std::size_t> got = content_.read(offset, room);
  if (got.ok() && digest_) digest_->update(std::string_view(room.data(), *got));
  return got;
}

std::size_t ContentSource::copy_text(const std::string& text,
                                     std::uint64_t from,
                                     std::span<char> buffer) {
  const std::size_t count = std::min<std::uint64_t>(buffer.size(), text.size() - from);
  std::memcpy(buffer.data(), text.data() + from, count);
  at_ += count;
  return count;
}

Awaitable<Result<std::size_t>> ContentSource::read(std::span<char> buffer) {
  std::size_t filled = 0;
  if (at_ < head_.size()) filled = copy_text(head_, at_, buffer);
  const std::uint64_t content_end = head_.size() + range_.size;
  if (filled < buffer.size() && at_ >= head_.size() && at_ < content_end) {
    const std::uint64_t inside = at_ - head_.size();
    const std::size_t wanted =
        std::min<std::uint64_t>(buffer.size() - filled, range_.size - inside);
    const std::span<char> room = buffer.subspan(filled, wanted);
    const std::uint64_t offset = range_.offset + inside;
    const auto work = [this, offset, room] { return read_content(offset, room); };
    Result<std::size_t> got = std::size_t{0};
    if (content_.in_memory()) {
      got = work();
    } else {
      got = co_await offload(files_, work);
    }
    if (!got.ok()) co_return got;
    if (*got < wanted) {
      co_return Error(ErrorKind::internal, "content_range", "a part lies outside of its content");
    }
    filled += *got;
    at_ += *got;
  }
  if (filled < buffer.size() && at_ >= content_end && at_ - content_end < tail_.size()) {
    filled += copy_text(tail_, at_ - content_end, buffer.subspan(filled));
  }
  co_return filled;
}

}  // namespace pn::storage
