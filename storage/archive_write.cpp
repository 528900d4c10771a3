#include "storage/archive_write.hpp"

#include "base/result.hpp"
#include "storage/archive_error.hpp"
#include "storage/archive_names.hpp"
#include "storage/file_body.hpp"
#include "storage/whole_file.hpp"

#include <algorithm>
#include <atomic>
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

#include <archive.h>
#include <archive_entry.h>

namespace pn::storage {

namespace fs = std::filesystem;

namespace {

constexpr int kBlock = 256 * 1024;
/// A dictionary of 4 MiB: the levels above need 90 MiB and more to pack.
constexpr const char* kXzLevel = "3";

bool nameless(ArchiveFormat format) {
  return format == ArchiveFormat::gz || format == ArchiveFormat::xz || format == ArchiveFormat::zst;
}

/// The name as it goes into the archive: without "." and doubled slashes.
Result<std::string> entry_name(const std::string& given) {
  if (given.ends_with('/')) return archive_refused("path", given, "it names a folder");
  const Result<fs::path> path = archive_path(given, kArchiveDepth);
  if (!path.ok()) return path.error();
  if (path->empty()) return archive_refused("path", given, "it names a folder");
  return path->string();
}

/// Two entries of one name, or one that is also a folder of another, found without a second copy of
/// all names.
Result<void> check_distinct(const std::vector<std::string>& names) {
  std::vector<std::string_view> sorted(names.begin(), names.end());
  // "/" before every other character, so that what is below "a" comes right after "a".
  const auto rank = [](char c) {
    return c == '/' ? -1 : static_cast<int>(static_cast<unsigned char>(c));
  };
  std::ranges::sort(sorted, [&](std::string_view a, std::string_view b) {
    return std::ranges::lexicographical_compare(a, b, {}, rank, rank);
  });
  for (std::size_t i = 1; i < sorted.size(); ++i) {
    const std::string_view before = sorted[i - 1];
    if (!sorted[i].starts_with(before)) continue;
    const std::string_view rest = sorted[i].substr(before.size());
    if (rest.empty()) return archive_refused("duplicate", before, "the name is given twice");
    if (rest.front() == '/') return archive_refused("duplicate", before, "it is file and folder");
  }
  return {};
}

/// Between libarchive, which calls back, and the file that takes its bytes.
class Packing final {
 public:
  Packing(WholeFile file, const std::atomic<bool>& stop) : file_(std::move(file)), stop_(stop) {}

  Result<void> open(ArchiveFormat format) {
    handle_.reset(archive_write_new());
    if (!handle_) return Error(ErrorKind::internal, "archive_memory", "out of memory");
    const bool ready =
        choose(format) && archive_write_set_bytes_per_block(handle_.get(), kBlock) == ARCHIVE_OK &&
        archive_write_set_bytes_in_last_block(handle_.get(), 1) == ARCHIVE_OK &&
        archive_write_open2(handle_.get(), this, nullptr, &on_write, nullptr, nullptr) ==
            ARCHIVE_OK;
    if (!ready) return failure("the archive");
    return {};
  }

  Result<void> add(const std::string& name, const fs::path& from) {
    if (stop_) return archive_stopped();
    const Result<Content> content = Content::of_file(from);
    if (!content.ok()) return content.error();
    const ArchiveEntryHandle entry(archive_entry_new());
    // Not 0, but only where the name is in every form that a format may want: that is, UTF-8.
    if (archive_entry_update_pathname_utf8(entry.get(), name.c_str()) == 0) {
      return archive_refused("path", name, "names must be UTF-8");
    }
    archive_entry_set_filetype(entry.get(), AE_IFREG);
    archive_entry_set_perm(entry.get(), 0644);
    archive_entry_set_size(entry.get(), static_cast<la_int64_t>(content->size()));
    archive_entry_set_mtime(entry.get(), 0, 0);
    if (archive_write_header(handle_.get(), entry.get()) != ARCHIVE_OK || fault_) {
      return failure(name);
    }
    for (std::uint64_t at = 0; at < content->size();) {
      if (stop_) return archive_stopped();
      const Result<std::size_t> got = content->read(at, {block_.get(), kBlock});
      if (!got.ok()) return within(from.string(), got.error());
      const la_ssize_t packed = archive_write_data(handle_.get(), block_.get(), *got);
      if (packed != static_cast<la_ssize_t>(*got) || fault_) return failure(name);
      at += *got;
    }
    return {};
  }

  Result<void> commit(const fs::path& path) {
    if (archive_write_close(handle_.get()) != ARCHIVE_OK || fault_) return failure(path.string());
    return file_.commit(path);
  }

 private:
  bool choose(ArchiveFormat format) {
    archive* const handle = handle_.get();
    switch (format) {
      case ArchiveFormat::zip_stored:
        return archive_write_set_format_zip(handle) == ARCHIVE_OK &&
               archive_write_zip_set_compression_store(handle) == ARCHIVE_OK;
      case ArchiveFormat::zip:
        return archive_write_set_format_zip(handle) == ARCHIVE_OK &&
               archive_write_zip_set_compression_deflate(handle) == ARCHIVE_OK;
      case ArchiveFormat::tar:
        return tar();
      case ArchiveFormat::tar_gz:
        return tar() && gzip();
      case ArchiveFormat::tar_xz:
        return tar() && xz();
      case ArchiveFormat::tar_zst:
        return tar() && zstd();
      case ArchiveFormat::gz:
        return archive_write_set_format_raw(handle) == ARCHIVE_OK && gzip();
      case ArchiveFormat::xz:
        return archive_write_set_format_raw(handle) == ARCHIVE_OK && xz();
      case ArchiveFormat::zst:
        return archive_write_set_format_raw(handle) == ARCHIVE_OK && zstd();
    }
    return false;
  }
  /// Plain ustar wherever that can say it, pax where not (long names, other than ASCII).
  bool tar() { return archive_write_set_format_pax_restricted(handle_.get()) == ARCHIVE_OK; }
  bool gzip() {
    return archive_write_add_filter_gzip(handle_.get()) == ARCHIVE_OK &&
           archive_write_set_filter_option(handle_.get(), "gzip", "timestamp", nullptr) ==
               ARCHIVE_OK;
  }
  bool xz() {
    return archive_write_add_filter_xz(handle_.get()) == ARCHIVE_OK &&
           archive_write_set_filter_option(handle_.get(), "xz", "compression-level", kXzLevel) ==
               ARCHIVE_OK;
  }
  bool zstd() { return archive_write_add_filter_zstd(handle_.get()) == ARCHIVE_OK; }

  [[nodiscard]] Error failure(std::string_view what) const {
    return fault_ ? *fault_ : from_archive(handle_.get(), what);
  }

  /// What the file does not take is noted and dropped: a libarchive that is told of it here leaks
  /// its compressor.
  static la_ssize_t on_write(archive*, void* self, const void* bytes, std::size_t count) {
    auto* const packing = static_cast<Packing*>(self);
    if (!packing->fault_) {
      const std::string_view piece(static_cast<const char*>(bytes), count);
      const Result<void> done = packing->file_.write(piece);
      if (!done.ok()) packing->fault_ = done.error();
    }
    return static_cast<la_ssize_t>(count);
  }

  WholeFile file_;
  const std::atomic<bool>& stop_;
  std::unique_ptr<char[]> block_ = std::make_unique_for_overwrite<char[]>(kBlock);
  std::optional<Error> fault_;
  ArchiveHandle handle_;  // first to go: closing it may still write
};

}  // namespace

Result<void> write_archive(const fs::path& path,
                           ArchiveFormat format,
                           const std::vector<ArchiveEntry>& entries,
                           const std::atomic<bool>& stop) {
  if (nameless(format) && entries.size() != 1) {
    return archive_refused("entries", path.filename().string(), "it holds one file, no more");
  }
  std::vector<std::string> names;
  names.reserve(entries.size());
  for (const ArchiveEntry& entry : entries) {
    Result<std::string> name = entry_name(entry.name);
    if (!name.ok()) return std::move(name).error();
    names.push_back(*std::move(name));
  }
  Result<void> distinct = check_distinct(names);
  if (!distinct.ok()) return distinct;

  fs::path temporary = path;
  temporary += ".part";
  std::error_code ignored;
  fs::remove(temporary, ignored);  // of one that was killed
  Result<WholeFile> file = WholeFile::create(temporary);
  if (!file.ok()) return std::move(file).error();
  const Utf8Names utf8;
  Packing packing(*std::move(file), stop);
  Result<void> done = packing.open(format);
  for (std::size_t i = 0; done.ok() && i < entries.size(); ++i) {
    done = packing.add(names[i], entries[i].file);
  }
  return done.ok() ? packing.commit(path) : done;
}

}  // namespace pn::storage
