#include "storage/archive_source.hpp"

#include "base/file.hpp"
#include "base/result.hpp"
#include "storage/archive_error.hpp"
#include "storage/file_content.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <archive.h>
#include <lzma.h>
#include <sys/types.h>
#include <unistd.h>

namespace pn::storage {
namespace {

/// Small, because what comes between two of them is out of our hands: 64 KiB of zstd may be 2 GiB.
constexpr std::size_t kBlock = 64 * 1024;
constexpr std::uint64_t kDictionary = 128 * 1024 * 1024;
/// What an honest archive may hold besides its files: headers, padding, what is stored for folders.
constexpr std::uint64_t kOverhead = 64 * 1024 * 1024;
constexpr std::uint64_t kOverheadPerEntry = 4096;
constexpr std::string_view kXzMagic(
    "\xfd"
    "7zXZ\0",
    6);

}  // namespace

struct ArchiveFile::Xz {
  Xz() = default;
  ~Xz() { lzma_end(&stream); }
  Xz(const Xz&) = delete;
  Xz& operator=(const Xz&) = delete;

  lzma_stream stream = LZMA_STREAM_INIT;
  std::string in = std::string(kBlock, '\0');
  bool file_ended = false;
  bool ended = false;
};

ArchiveFile::ArchiveFile(UniqueFd fd, std::uint64_t size, std::string name)
    : fd_(std::move(fd)), size_(size), name_(std::move(name)) {}
ArchiveFile::~ArchiveFile() = default;
ArchiveFile::ArchiveFile(ArchiveFile&&) noexcept = default;

Result<ArchiveFile> ArchiveFile::open(const std::filesystem::path& path) {
  Result<RegularFile> file = open_regular(path);
  if (!file.ok()) return std::move(file).error();
  ArchiveFile out(std::move(file->fd), file->size, path.filename().string());
  std::array<char, kXzMagic.size()> magic{};
  const ssize_t got = ::pread(out.fd_.get(), magic.data(), magic.size(), 0);
  if (got != static_cast<ssize_t>(magic.size())) return out;
  if (std::string_view(magic.data(), magic.size()) != kXzMagic) return out;
  out.unpacking_ = std::make_unique<Xz>();
  if (lzma_stream_decoder(&out.unpacking_->stream, kDictionary, LZMA_CONCATENATED) != LZMA_OK) {
    return from_archive(ENOMEM, "no memory for its decoder", out.name_);
  }
  return out;
}

Result<std::size_t> ArchiveFile::read(std::span<char> buffer) {
  return unpacking_ ? unpack(buffer) : read_some(fd_.get(), buffer);
}

Result<std::size_t> ArchiveFile::unpack(std::span<char> buffer) {
  lzma_stream& stream = unpacking_->stream;
  stream.next_out = reinterpret_cast<std::uint8_t*>(buffer.data());
  stream.avail_out = buffer.size();
  while (stream.avail_out > 0 && !unpacking_->ended) {
    if (stream.avail_in == 0 && !unpacking_->file_ended) {
      const Result<std::size_t> got = read_some(fd_.get(), unpacking_->in);
      if (!got.ok()) return got;
      unpacking_->file_ended = *got == 0;
      stream.next_in = reinterpret_cast<const std::uint8_t*>(unpacking_->in.data());
      stream.avail_in = *got;
    }
    const lzma_ret code = lzma_code(&stream, unpacking_->file_ended ? LZMA_FINISH : LZMA_RUN);
    if (code == LZMA_STREAM_END) {
      unpacking_->ended = true;
    } else if (code == LZMA_MEMLIMIT_ERROR) {
      return archive_dictionary(name_);
    } else if (code != LZMA_OK) {
      return from_archive(code == LZMA_MEM_ERROR ? ENOMEM : -1, "its xz data is damaged", name_);
    }
  }
  return buffer.size() - stream.avail_out;
}

Result<std::uint64_t> ArchiveFile::seek(std::int64_t offset, int whence) {
  const off_t at = ::lseek(fd_.get(), offset, whence);
  if (at < 0) return from_errno(errno, "cannot read " + name_);
  return static_cast<std::uint64_t>(at);
}

ArchiveSource::ArchiveSource(ArchiveFile file, const std::atomic<bool>& stop)
    : file_(std::move(file)), stop_(stop), block_(std::make_unique_for_overwrite<char[]>(kBlock)) {}

Result<void> ArchiveSource::attach(archive* handle) {
  archive_read_set_callback_data(handle, this);
  archive_read_set_read_callback(handle, &ArchiveSource::on_read);
  if (file_.seekable()) archive_read_set_seek_callback(handle, &ArchiveSource::on_seek);
  const bool opened = archive_read_open1(handle) == ARCHIVE_OK;
  // libarchive undoes up to 25 filters: a kilobyte could keep it busy for years without one byte of
  // content. The last one counted is the file itself.
  const int filters = archive_filter_count(handle) - 1 + (file_.seekable() ? 0 : 1);
  if (filters > 1) {
    return Error(ErrorKind::rejected,
                 "archive_filters",
                 file_.name() + ": it is packed more than once; unpack it once before");
  }
  if (!opened) return failure(handle);
  return {};
}

bool ArchiveSource::filtered(archive* handle) const {
  return !file_.seekable() || archive_filter_count(handle) > 1;
}

Error ArchiveSource::failure(archive* handle) const {
  return fault_ ? *fault_ : from_archive(handle, file_.name());
}

void ArchiveSource::account(std::uint64_t bytes, std::uint64_t entries) {
  content_ = bytes;
  entries_ = entries;
}

std::ptrdiff_t ArchiveSource::on_read(archive* handle, void* self, const void** buffer) {
  return static_cast<ArchiveSource*>(self)->give(handle, buffer);
}

std::ptrdiff_t ArchiveSource::give(archive* handle, const void** buffer) {
  const auto fail = [&](Error error) {
    fault_ = std::move(error);
    archive_set_error(handle, -1, "%s", fault_->detail.c_str());
    return static_cast<std::ptrdiff_t>(ARCHIVE_FATAL);
  };
  if (stop_) return fail(archive_stopped());
  // What the format has been given by the filter; in a file without one, where it reads.
  const auto unpacked =
      static_cast<std::uint64_t>(std::max<std::int64_t>(archive_filter_bytes(handle, 0), 0));
  const std::uint64_t other = unpacked - std::min(unpacked, content_);
  if (other > std::max(kOverhead + entries_ * kOverheadPerEntry, file_.size())) {
    return fail(archive_refused("bomb", file_.name(), "it unpacks to much that is no file"));
  }
  const Result<std::size_t> got = file_.read({block_.get(), kBlock});
  if (!got.ok()) return fail(got.error());
  *buffer = block_.get();
  return static_cast<std::ptrdiff_t>(*got);
}

std::int64_t ArchiveSource::on_seek(archive* handle, void* self, std::int64_t offset, int whence) {
  auto* const source = static_cast<ArchiveSource*>(self);
  const Result<std::uint64_t> at = source->file_.seek(offset, whence);
  if (at.ok()) return static_cast<std::int64_t>(*at);
  source->fault_ = at.error();
  archive_set_error(handle, -1, "%s", at.error().detail.c_str());
  return ARCHIVE_FATAL;
}

}  // namespace pn::storage
