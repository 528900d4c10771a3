#pragma once

#include "base/file.hpp"
#include "base/result.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>

struct archive;  // NOLINT(readability-identifier-naming): libarchive's name

namespace pn::storage {

/// Bytes of a plain or xz-packed file, one after the other. Not libarchive's own xz filter: that
/// gives an archive's dictionary all the memory it asks for, this one 128 MiB at most.
class ArchiveFile final {
 public:
  static Result<ArchiveFile> open(const std::filesystem::path& path);
  ~ArchiveFile();
  ArchiveFile(ArchiveFile&&) noexcept;
  ArchiveFile& operator=(ArchiveFile&&) = delete;

  /// 0 at the end. Kind `corrupt`, code "archive_damaged"; `rejected`, code "archive_dictionary".
  Result<std::size_t> read(std::span<char> buffer);
  /// Not of an xz file.
  Result<std::uint64_t> seek(std::int64_t offset, int whence);
  [[nodiscard]] bool seekable() const { return !unpacking_; }
  [[nodiscard]] std::uint64_t size() const { return size_; }  ///< packed
  [[nodiscard]] const std::string& name() const { return name_; }

 private:
  struct Xz;
  ArchiveFile(UniqueFd fd, std::uint64_t size, std::string name);
  Result<std::size_t> unpack(std::span<char> buffer);

  UniqueFd fd_;
  std::uint64_t size_;
  std::string name_;
  std::unique_ptr<Xz> unpacking_;  ///< of an xz file
};

/// What libarchive reads from: hands it a file's bytes and stops it where an archive unpacks to
/// much that is no file's content (a folder "of 1 TB", filters in filters), which libarchive skips
/// inside one call. Not to be moved once attached.
class ArchiveSource final {
 public:
  ArchiveSource(ArchiveFile file, const std::atomic<bool>& stop);
  ArchiveSource(const ArchiveSource&) = delete;
  ArchiveSource& operator=(const ArchiveSource&) = delete;

  /// Opens `handle` on this. Kind `rejected`, code "archive_filters", for packed in packed.
  Result<void> attach(archive* handle);
  /// How much has become files' content, and how many entries there were.
  void account(std::uint64_t bytes, std::uint64_t entries);
  /// What `handle` failed of: this source, or the archive.
  [[nodiscard]] Error failure(archive* handle) const;
  [[nodiscard]] std::uint64_t packed() const { return file_.size(); }
  /// Whether any filter unpacks what comes before a format looks at it.
  [[nodiscard]] bool filtered(archive* handle) const;

 private:
  static std::ptrdiff_t on_read(archive* handle, void* self, const void** buffer);
  static std::int64_t on_seek(archive* handle, void* self, std::int64_t offset, int whence);
  std::ptrdiff_t give(archive* handle, const void** buffer);

  ArchiveFile file_;
  const std::atomic<bool>& stop_;
  std::unique_ptr<char[]> block_;
  std::uint64_t content_ = 0;
  std::uint64_t entries_ = 0;
  std::optional<Error> fault_;
};

}  // namespace pn::storage
