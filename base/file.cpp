#include "base/file.hpp"

#include "base/result.hpp"

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

namespace pn {

namespace fs = std::filesystem;

void UniqueFd::reset() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

Error from_errno(int error_number, std::string_view what) {
  const std::string detail =
      std::string(what) + ": " + std::generic_category().message(error_number);
  switch (error_number) {
    case ENOSPC:
    case EDQUOT:
      return {ErrorKind::full, "disk_full", detail};
    case ENOENT:
      return {ErrorKind::not_found, "file_missing", detail};
    case EACCES:
    case EPERM:
    case EROFS:
      // This machine's set-up, never the fault of whoever asked: another node may do it.
      return {ErrorKind::internal, "file_denied", detail};
    default:
      return {ErrorKind::internal, "file_io", detail};
  }
}

Result<UniqueFd> open_read(const fs::path& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return from_errno(errno, "cannot open " + path.string());
  return fd;
}

Result<UniqueFd> create_new(const fs::path& path, unsigned mode) {
  UniqueFd fd(
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, static_cast<mode_t>(mode)));
  if (!fd) return from_errno(errno, "cannot create " + path.string());
  return fd;
}

Result<std::size_t> read_some(int fd, std::span<char> buffer) {
  for (;;) {
    const ssize_t got = ::read(fd, buffer.data(), buffer.size());
    if (got >= 0) return static_cast<std::size_t>(got);
    if (errno != EINTR) return from_errno(errno, "cannot read");
  }
}

Result<void> write_all(int fd, std::string_view bytes, const MakeRoom& make_room) {
  bool may_ask = make_room != nullptr;
  while (!bytes.empty()) {
    const ssize_t put = ::write(fd, bytes.data(), bytes.size());
    if (put >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(put));
      continue;
    }
    if (errno == EINTR) continue;
    Error failed = from_errno(errno, "cannot write");
    if (!may_ask || failed.kind != ErrorKind::full || !make_room(bytes.size())) return failed;
    may_ask = false;
  }
  return {};
}

Result<std::string> read_file(const fs::path& path, std::uint64_t limit) {
  Result<UniqueFd> fd = open_read(path);
  if (!fd) return std::move(fd).error();
  std::string out;
  std::string chunk(64 * 1024, '\0');
  for (;;) {
    const Result<std::size_t> got = read_some(fd->get(), chunk);
    if (!got) return within(path.string(), got.error());
    if (*got == 0) return out;
    if (out.size() + *got > limit) {
      return Error(ErrorKind::rejected,
                   "file_too_large",
                   path.string() + " holds more than " + std::to_string(limit) + " bytes");
    }
    out.append(chunk.data(), *got);
  }
}

Result<void> write_file(const fs::path& path, std::string_view bytes, unsigned mode) {
  static std::atomic<unsigned> serial{0};
  fs::path temporary = path;
  temporary += ".tmp" + std::to_string(::getpid()) + "." + std::to_string(serial++);
  Result<UniqueFd> fd = create_new(temporary, mode);
  if (!fd) return std::move(fd).error();
  Result<void> written = write_all(fd->get(), bytes);
  if (written && ::fsync(fd->get()) != 0) written = from_errno(errno, "cannot fsync");
  fd->reset();
  if (written && ::rename(temporary.c_str(), path.c_str()) != 0) {
    written = from_errno(errno, "cannot rename");
  }
  if (!written) {
    ::unlink(temporary.c_str());
    return within(path.string(), std::move(written).error());
  }
  return sync_folder(path.parent_path());
}

Result<void> sync_folder(const fs::path& folder) {
  const fs::path path = folder.empty() ? fs::path(".") : folder;
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd && (::fsync(fd.get()) == 0 || errno == EINVAL)) return {};
  return from_errno(errno, "cannot fsync the folder " + path.string());
}

Result<void> make_folders(const fs::path& path, unsigned mode) {
  fs::path so_far;
  for (const fs::path& step : path) {
    so_far /= step;
    if (::mkdir(so_far.c_str(), static_cast<mode_t>(mode)) == 0 || errno == EEXIST) continue;
    const int reason = errno;
    std::error_code ignored;
    if (fs::is_directory(so_far, ignored))
      continue;  // "/" and read-only mounts answer other errors
    return from_errno(reason, "cannot create the folder " + so_far.string());
  }
  std::error_code failed;
  if (!fs::is_directory(path, failed)) {
    return Error(ErrorKind::rejected, "not_a_folder", path.string() + " is not a folder");
  }
  return {};
}

}  // namespace pn
