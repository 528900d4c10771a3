#include "storage/archive.hpp"

#include "base/file.hpp"
#include "base/result.hpp"
#include "storage/file_body.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <archive.h>
#include <archive_entry.h>
#include <locale.h>
#include <sys/stat.h>

namespace pn::storage {

namespace fs = std::filesystem;

Error from_archive(int error_number, std::string_view said, std::string_view what) {
  const std::string detail =
      std::string(what) + ": " + (said.empty() ? "it cannot be read" : std::string(said));
  switch (error_number) {
    case ENOSPC:
    case EDQUOT:
    case ENOENT:
    case EACCES:
    case EPERM:
    case EIO:
      return from_errno(error_number, what);
    case ENOMEM:
      return {ErrorKind::internal, "archive_memory", detail};
    case EINVAL:  // what libarchive says when it was called wrongly
      return {ErrorKind::internal, "archive_misuse", detail};
    default:
      return {ErrorKind::corrupt, "archive_damaged", detail};
  }
}

namespace {

constexpr std::size_t kBlock = 256 * 1024;
constexpr std::uint64_t kRatioFrom = 64 * 1024 * 1024;

struct Free {
  void operator()(archive* handle) const { archive_free(handle); }
  void operator()(archive_entry* entry) const { archive_entry_free(entry); }
};

Error from_handle(archive* handle, std::string_view what) {
  const char* said = archive_error_string(handle);
  return from_archive(archive_errno(handle), said == nullptr ? "" : said, what);
}

Error refused(std::string_view code, std::string_view entry, std::string_view why) {
  return {ErrorKind::rejected,
          "archive_" + std::string(code),
          "archive entry " + std::string(entry.substr(0, 200)) + ": " + std::string(why)};
}

Error stopped() { return {ErrorKind::retry, "stopped", "stopped on request"}; }

/// What has been made of an archive, for the case that it must go again.
class Undo final {
 public:
  ~Undo() {
    if (kept_) return;
    std::error_code ignored;
    for (const fs::path& file : files_) fs::remove(file, ignored);
    for (auto at = folders_.rbegin(); at != folders_.rend(); ++at) fs::remove(*at, ignored);
  }
  Undo() = default;
  Undo(const Undo&) = delete;
  Undo& operator=(const Undo&) = delete;

  void file(const fs::path& path) { files_.push_back(path); }
  /// Makes every missing folder from `base` (which is made too) down to `path`.
  Result<void> make_folders_below(const fs::path& base, const fs::path& relative) {
    fs::path so_far = base;
    Result<void> done = make(so_far);
    for (const fs::path& step : relative) {
      if (!done.ok()) return done;
      so_far /= step;
      done = make(so_far);
    }
    return done;
  }
  void keep() { kept_ = true; }

 private:
  Result<void> make(const fs::path& path) {
    if (::mkdir(path.c_str(), 0755) == 0) {
      folders_.push_back(path);
      return {};
    }
    const int reason = errno;
    std::error_code ignored;
    // Not followed: nothing we made is a link.
    if (fs::symlink_status(path, ignored).type() == fs::file_type::directory) return {};
    if (reason != EEXIST) return from_errno(reason, "cannot create the folder " + path.string());
    return Error(ErrorKind::rejected, "archive_duplicate", path.string() + " is file and folder");
  }

  bool kept_ = false;
  std::vector<fs::path> files_;
  std::vector<fs::path> folders_;
};

/// The entry's path below the folder; empty for the folder itself ("./").
Result<fs::path> safe_path(std::string_view name, std::size_t max_depth) {
  if (name.empty()) return refused("path", "?", "it has no readable name");
  if (name.starts_with('/')) return refused("path", name, "absolute paths are not accepted");
  if (name.find('\\') != std::string_view::npos) {
    return refused("path", name, "backslashes are not accepted; use \"/\" between folders");
  }
  fs::path out;
  std::size_t depth = 0;
  std::string_view rest = name;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('/'), rest.size());
    const std::string_view step = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (step.empty() || step == ".") continue;
    if (step == "..") return refused("path", name, "\"..\" would leave the folder");
    if (++depth > max_depth) return refused("path", name, "its folders are nested too deep");
    out /= step;
  }
  return out;
}

/// While it lives, names are UTF-8 on this thread: libarchive goes by the thread's locale, and in
/// that of a program which sets none it has no name for "Köln/". Not setlocale(), which would
/// change every thread's numbers and messages too.
class Utf8Names final {
 public:
  Utf8Names() : utf8_(::newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr)) {
    if (utf8_ != nullptr) before_ = ::uselocale(utf8_);
  }
  ~Utf8Names() {
    if (utf8_ == nullptr) return;
    ::uselocale(before_);
    ::freelocale(utf8_);
  }
  Utf8Names(const Utf8Names&) = delete;
  Utf8Names& operator=(const Utf8Names&) = delete;

 private:
  locale_t utf8_;
  locale_t before_ = nullptr;
};

/// A name that cannot be read costs its name, not the whole archive.
std::string name_of(archive_entry* entry, std::uint64_t number) {
  const char* name = archive_entry_pathname_utf8(entry);
  if (name == nullptr) name = archive_entry_pathname(entry);  // bytes of no known encoding
  return name == nullptr ? "entry-" + std::to_string(number) : name;
}

bool is_link(archive_entry* entry) {
  return archive_entry_hardlink(entry) != nullptr || archive_entry_symlink(entry) != nullptr ||
         archive_entry_hardlink_utf8(entry) != nullptr ||
         archive_entry_symlink_utf8(entry) != nullptr;
}

class Extraction final {
 public:
  Extraction(const fs::path& source,
             const fs::path& folder,
             const ExtractLimits& limits,
             const std::atomic<bool>& stop)
      : source_(source), folder_(folder), limits_(limits), stop_(stop) {}

  Result<Extracted> run() {
    Result<void> done = open();
    while (done.ok()) {
      archive_entry* entry = nullptr;
      const int code = archive_read_next_header(handle_.get(), &entry);
      if (code == ARCHIVE_EOF) break;
      // A warning is about attributes that we do not restore.
      done = code < ARCHIVE_WARN ? damaged() : take(entry);
    }
    if (!done.ok()) return done.error();
    undo_.keep();
    return std::move(out_);
  }

 private:
  [[nodiscard]] Result<void> damaged() const {
    return from_handle(handle_.get(), source_.filename().string());
  }

  Result<void> open() {
    std::error_code failed;
    packed_ = fs::file_size(source_, failed);
    if (failed) return from_errno(failed.value(), "cannot open " + source_.string());
    handle_.reset(archive_read_new());
    if (!handle_) return Error(ErrorKind::internal, "archive_memory", "out of memory");
    archive_read_support_format_zip(handle_.get());
    archive_read_support_format_tar(handle_.get());
    archive_read_support_filter_gzip(handle_.get());
    archive_read_support_filter_xz(handle_.get());
    archive_read_support_filter_zstd(handle_.get());
    if (archive_read_open_filename(handle_.get(), source_.c_str(), kBlock) != ARCHIVE_OK) {
      return damaged();
    }
    return undo_.make_folders_below(folder_, {});
  }

  Result<void> take(archive_entry* entry) {
    const std::string name = name_of(entry, ++entries_);
    if (stop_) return stopped();
    if (entries_ > limits_.max_entries) {
      return refused("entries", name, "there are more entries than allowed");
    }
    if (archive_entry_is_encrypted(entry) != 0) {
      return refused("encrypted", name, "encrypted archives are not accepted");
    }
    const Result<fs::path> path = safe_path(name, limits_.max_depth);
    if (!path.ok()) return path.error();
    if (is_link(entry)) {
      return refused("link", name, "links are not accepted; pack the files themselves");
    }
    const auto type = archive_entry_filetype(entry);
    if (type == AE_IFDIR) return undo_.make_folders_below(folder_, *path);
    if (type != AE_IFREG || path->empty()) {
      return refused("type", name, "only regular files and folders are accepted");
    }
    return write(name, *path);
  }

  Result<void> write(const std::string& name, const fs::path& relative) {
    Result<void> folders = undo_.make_folders_below(folder_, relative.parent_path());
    if (!folders.ok()) return folders;
    const fs::path path = folder_ / relative;
    Result<UniqueFd> fd = create_new(path);  // never through a link, never over a file
    if (!fd.ok()) {
      std::error_code ignored;
      if (fs::exists(path, ignored)) return refused("duplicate", name, "the name is there twice");
      return std::move(fd).error();
    }
    undo_.file(path);
    for (;;) {
      if (stop_) return stopped();
      const la_ssize_t got = archive_read_data(handle_.get(), block_.data(), block_.size());
      if (got == ARCHIVE_RETRY) continue;
      if (got < 0) return damaged();
      if (got == 0) break;
      out_.bytes += static_cast<std::uint64_t>(got);
      if (out_.bytes > limits_.max_bytes) {
        return refused("bytes", name, "the archive holds more bytes than allowed");
      }
      if (out_.bytes > kRatioFrom && out_.bytes / limits_.max_ratio > packed_) {
        return refused(
            "bomb", name, "the archive unpacks to a multiple of its size that no photos do");
      }
      const std::string_view bytes(block_.data(), static_cast<std::size_t>(got));
      const Result<void> written = write_all(fd->get(), bytes);
      if (!written.ok()) return within(path.string(), written.error());
    }
    out_.files.push_back(path);
    return {};
  }

  const fs::path& source_;
  const fs::path& folder_;
  const ExtractLimits& limits_;
  const std::atomic<bool>& stop_;
  std::unique_ptr<archive, Free> handle_;
  std::uint64_t packed_ = 0;
  std::uint64_t entries_ = 0;
  std::string block_ = std::string(kBlock, '\0');
  Extracted out_;
  Undo undo_;
};

Result<void> add_to_zip(archive* zip, const ZipEntry& item, const std::atomic<bool>& stop) {
  Result<Content> content = Content::of_file(item.file);
  if (!content.ok()) return std::move(content).error();
  const std::unique_ptr<archive_entry, Free> entry(archive_entry_new());
  archive_entry_set_pathname(entry.get(), item.name.c_str());
  archive_entry_set_filetype(entry.get(), AE_IFREG);
  archive_entry_set_perm(entry.get(), 0644);
  archive_entry_set_size(entry.get(), static_cast<la_int64_t>(content->size()));
  archive_entry_set_mtime(entry.get(), 0, 0);
  if (archive_write_header(zip, entry.get()) != ARCHIVE_OK) return from_handle(zip, item.name);
  std::string block(kBlock, '\0');
  for (std::uint64_t at = 0; at < content->size();) {
    if (stop) return stopped();
    const Result<std::size_t> got = content->read(at, block);
    if (!got.ok()) return got.error();
    if (archive_write_data(zip, block.data(), *got) != static_cast<la_ssize_t>(*got)) {
      return from_handle(zip, item.name);
    }
    at += *got;
  }
  return {};
}

Result<void> write_zip(const fs::path& path,
                       const std::vector<ZipEntry>& entries,
                       const std::atomic<bool>& stop) {
  const std::unique_ptr<archive, Free> zip(archive_write_new());
  if (!zip) return Error(ErrorKind::internal, "archive_memory", "out of memory");
  archive_write_set_format_zip(zip.get());
  archive_write_zip_set_compression_store(zip.get());
  if (archive_write_open_filename(zip.get(), path.c_str()) != ARCHIVE_OK) {
    return from_handle(zip.get(), path.string());
  }
  for (const ZipEntry& entry : entries) {
    const Result<void> added = add_to_zip(zip.get(), entry, stop);
    if (!added.ok()) return added;
  }
  if (archive_write_close(zip.get()) != ARCHIVE_OK) return from_handle(zip.get(), path.string());
  return {};
}

}  // namespace

Result<Extracted> extract(const fs::path& archive,
                          const fs::path& folder,
                          const ExtractLimits& limits,
                          const std::atomic<bool>& stop) {
  const Utf8Names names;
  Extraction extraction(archive, folder, limits, stop);
  return extraction.run();
}

Result<void> write_stored_zip(const fs::path& path,
                              const std::vector<ZipEntry>& entries,
                              const std::atomic<bool>& stop) {
  fs::path temporary = path;
  temporary += ".part";
  std::error_code failed;
  Result<void> done = write_zip(temporary, entries, stop);
  if (done.ok()) {
    fs::rename(temporary, path, failed);
    if (failed) done = from_errno(failed.value(), "cannot rename an archive to " + path.string());
  }
  if (!done.ok()) fs::remove(temporary, failed);
  return done;
}

}  // namespace pn::storage
