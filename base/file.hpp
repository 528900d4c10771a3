#pragma once

#include "base/result.hpp"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace pn {

/// An owned file descriptor.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  ~UniqueFd() { reset(); }
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }

  [[nodiscard]] int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }
  void reset();

 private:
  int fd_ = -1;
};

/// "what: strerror". ENOSPC and EDQUOT are kind `full`, ENOENT `not_found`, else `internal`;
/// EACCES, EPERM and EROFS have a code of their own, "file_denied".
Error from_errno(int error_number, std::string_view what);

// All of these block: call them on a pool, or in main before a loop runs.

/// The whole file, up to `limit` bytes; larger is kind `rejected`.
Result<std::string> read_file(const std::filesystem::path& path, std::uint64_t limit);

/// Whole or not at all: a temporary beside it, fsync, rename, fsync of the folder.
Result<void> write_file(const std::filesystem::path& path,
                        std::string_view bytes,
                        unsigned mode = 0644);

/// fsync of a folder, without which a power cut may take a new name in it away. Fine where its file
/// system knows no such thing.
Result<void> sync_folder(const std::filesystem::path& folder);

/// Every missing folder of the path, each with `mode`.
Result<void> make_folders(const std::filesystem::path& path, unsigned mode = 0755);

/// Asked for so many bytes where a disk is full: false when nothing is to be had.
using MakeRoom = std::function<bool(std::uint64_t)>;

/// All of `bytes` at the descriptor's position. A disk that is full is tried once more where
/// `make_room`, which may be empty, made some.
Result<void> write_all(int fd, std::string_view bytes, const MakeRoom& make_room = {});
/// Up to `buffer.size()` bytes from the descriptor's position; 0 at the end.
Result<std::size_t> read_some(int fd, std::span<char> buffer);

Result<UniqueFd> open_read(const std::filesystem::path& path);
/// O_CREAT | O_EXCL: fails where the path exists, so that no link is followed.
Result<UniqueFd> create_new(const std::filesystem::path& path, unsigned mode = 0644);

}  // namespace pn
