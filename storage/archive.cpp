#include "storage/archive.hpp"

#include "base/file.hpp"
#include "base/result.hpp"
#include "storage/archive_error.hpp"
#include "storage/archive_names.hpp"
#include "storage/archive_source.hpp"

#include <atomic>
#include <cerrno>
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
#include <sys/stat.h>

namespace pn::storage {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t kBlock = 256 * 1024;
constexpr std::uint64_t kRatioFrom = 64 * 1024 * 1024;

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

/// "scan.csv" of "scan.csv.gz": how the one file in it is called. Empty where the name says that
/// there is an archive in it.
std::string packed_file_name(const fs::path& source) {
  const fs::path suffix = source.extension();
  if (suffix != ".gz" && suffix != ".xz" && suffix != ".zst") return {};
  const fs::path stem = source.stem();
  return stem.extension() == ".tar" ? std::string() : stem.string();
}

/// How a zip's entry is packed, in libarchive's words ("ZIP 2.0 (deflation)"). The other methods
/// (LZMA, xz, PPMd) let an entry ask for any amount of memory.
bool bounded_method(archive* handle) {
  if ((archive_format(handle) & ARCHIVE_FORMAT_BASE_MASK) != ARCHIVE_FORMAT_ZIP) return true;
  const std::string_view name = archive_format_name(handle);
  for (const char* known : {"(uncompressed)", "(deflation)", "(bzip)", "(zstd)"}) {
    if (name.ends_with(known)) return true;
  }
  return false;
}

class Extraction final {
 public:
  Extraction(const fs::path& path,
             const fs::path& folder,
             const ExtractLimits& limits,
             const std::atomic<bool>& stop)
      : path_(path),
        folder_(folder),
        limits_(limits),
        stop_(stop),
        lone_file_(packed_file_name(path)) {}

  Result<Extracted> run() {
    Result<void> done = read(Form::archive);
    // Zeros are an archive of nothing to libarchive, and other content is none at all.
    const bool nothing = entries_ == 0 && (done.ok() || done.error().code == "archive_damaged");
    if (nothing && !lone_file_.empty()) done = read(Form::lone);
    if (!done.ok()) return done.error();
    undo_.keep();
    return std::move(out_);
  }

 private:
  enum class Form { archive, lone };

  [[nodiscard]] Result<void> damaged() const { return source_->failure(handle_.get()); }

  Result<void> read(Form form) {
    Result<void> done = open(form);
    while (done.ok()) {
      archive_entry* entry = nullptr;
      const int code = archive_read_next_header(handle_.get(), &entry);
      if (code == ARCHIVE_EOF) break;
      // A warning is about attributes that we do not restore.
      done = code < ARCHIVE_WARN ? damaged() : take(entry);
    }
    if (done.ok() && archive_format(handle_.get()) == ARCHIVE_FORMAT_EMPTY) {  // packed nothing
      const Result<UniqueFd> made = create(lone_file_, lone_file_);
      if (!made.ok()) done = made.error();
    }
    return done;
  }

  Result<void> open(Form form) {
    Result<ArchiveFile> file = ArchiveFile::open(path_);
    if (!file.ok()) return std::move(file).error();
    handle_.reset(archive_read_new());
    if (!handle_) return Error(ErrorKind::internal, "archive_memory", "out of memory");
    if (form == Form::archive) {
      archive_read_support_format_zip(handle_.get());
      archive_read_support_format_tar(handle_.get());
    } else {
      archive_read_support_format_raw(handle_.get());
      archive_read_support_format_empty(handle_.get());
    }
    archive_read_support_filter_gzip(handle_.get());
    archive_read_support_filter_zstd(handle_.get());
    source_.emplace(*std::move(file), stop_);
    Result<void> attached = source_->attach(handle_.get());
    if (!attached.ok()) return attached;
    if (form == Form::lone && !source_->filtered(handle_.get())) {
      return from_archive(
          -1, "it is not packed, as its name says it is", path_.filename().string());
    }
    return undo_.make_folders_below(folder_, {});
  }

  Result<void> take(archive_entry* entry) {
    const bool lone = archive_format(handle_.get()) == ARCHIVE_FORMAT_RAW;
    const std::string name = lone ? lone_file_ : name_of(entry, entries_ + 1);
    source_->account(out_.bytes, ++entries_);
    if (stop_) return archive_stopped();
    if (entries_ > limits_.max_entries) {
      return archive_refused("entries", name, "there are more entries than allowed");
    }
    if (archive_entry_is_encrypted(entry) != 0) {
      return archive_refused("encrypted", name, "encrypted archives are not accepted");
    }
    const Result<fs::path> path = archive_path(name, limits_.max_depth);
    if (!path.ok()) return path.error();
    if (is_link(entry)) {
      return archive_refused("link", name, "links are not accepted; pack the files themselves");
    }
    const auto type = archive_entry_filetype(entry);
    if (type == AE_IFDIR) return undo_.make_folders_below(folder_, *path);
    if (type != AE_IFREG || path->empty()) {
      return archive_refused("type", name, "only regular files and folders are accepted");
    }
    if (!bounded_method(handle_.get())) {
      return archive_refused("method", name, "only stored and deflated entries are accepted");
    }
    return write(name, *path);
  }

  /// Makes the entry's file: never through a link, never over one that is there.
  Result<UniqueFd> create(const std::string& name, const fs::path& relative) {
    const Result<void> folders = undo_.make_folders_below(folder_, relative.parent_path());
    if (!folders.ok()) return folders.error();
    const fs::path path = folder_ / relative;
    Result<UniqueFd> fd = create_new(path);
    if (fd.ok()) {
      undo_.file(path);
      out_.files.push_back(path);
      return fd;
    }
    std::error_code ignored;
    if (!fs::exists(path, ignored)) return fd;
    return archive_refused("duplicate", name, "the name is there twice");
  }

  Result<void> write(const std::string& name, const fs::path& relative) {
    const Result<UniqueFd> fd = create(name, relative);
    if (!fd.ok()) return fd.error();
    for (;;) {
      if (stop_) return archive_stopped();
      const la_ssize_t got = archive_read_data(handle_.get(), block_.get(), kBlock);
      if (got == ARCHIVE_RETRY) continue;
      if (got < 0) return damaged();
      if (got == 0) break;
      out_.bytes += static_cast<std::uint64_t>(got);
      source_->account(out_.bytes, entries_);
      if (out_.bytes > limits_.max_bytes) {
        return archive_refused("bytes", name, "the archive holds more bytes than allowed");
      }
      if (out_.bytes > kRatioFrom && out_.bytes / limits_.max_ratio > source_->packed()) {
        return archive_refused(
            "bomb", name, "the archive unpacks to a multiple of its size that no photos do");
      }
      const std::string_view bytes(block_.get(), static_cast<std::size_t>(got));
      const Result<void> written = write_all(fd->get(), bytes);
      if (!written.ok()) return within((folder_ / relative).string(), written.error());
    }
    return {};
  }

  const fs::path& path_;
  const fs::path& folder_;
  const ExtractLimits& limits_;
  const std::atomic<bool>& stop_;
  const std::string lone_file_;  ///< what a packed file that is no archive becomes; may be empty
  std::optional<ArchiveSource> source_;
  ArchiveHandle handle_;
  std::uint64_t entries_ = 0;
  std::unique_ptr<char[]> block_ = std::make_unique_for_overwrite<char[]>(kBlock);
  Extracted out_;
  Undo undo_;
};

}  // namespace

Result<Extracted> extract(const fs::path& archive,
                          const fs::path& folder,
                          const ExtractLimits& limits,
                          const std::atomic<bool>& stop) {
  const Utf8Names names;
  Extraction extraction(archive, folder, limits, stop);
  return extraction.run();
}

}  // namespace pn::storage
