#include "storage/file_content.hpp"

#include "base/file.hpp"
#include "base/result.hpp"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

namespace pn::storage {

Result<RegularFile> open_regular(const std::filesystem::path& path) {
  Result<UniqueFd> fd = open_read(path);
  if (!fd.ok()) return std::move(fd).error();
  struct stat facts{};
  if (::fstat(fd->get(), &facts) != 0) return from_errno(errno, "cannot look at " + path.string());
  if (!S_ISREG(facts.st_mode)) {
    return Error(ErrorKind::rejected, "file_type", path.string() + " is not a regular file");
  }
  RegularFile out;
  out.fd = *std::move(fd);
  out.size = static_cast<std::uint64_t>(facts.st_size);
  return out;
}

bool can_clone(int folder) {
  // Nameless, so that nothing stays; every file system that clones has such files.
  const UniqueFd from(::openat(folder, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  const UniqueFd to(::openat(folder, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  return from && to && write_all(from.get(), "x").ok() && clone_content(from.get(), to.get());
}

bool clone_content(int from, int to) { return ::ioctl(to, FICLONE, from) == 0; }

Result<void> copy_content(int from, int to, std::uint64_t size) {
  constexpr std::size_t kPiece = 256 * 1024;
  std::string buffer(std::min<std::uint64_t>(kPiece, size), '\0');
  std::uint64_t done = 0;
  while (done < size) {
    const std::size_t wanted = std::min<std::uint64_t>(buffer.size(), size - done);
    const ssize_t got = ::pread(from, buffer.data(), wanted, static_cast<off_t>(done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return from_errno(errno, "cannot read a file that is being copied");
    if (got == 0) {
      return Error(ErrorKind::corrupt, "file_changed", "a file became shorter while it was copied");
    }
    const auto have = static_cast<std::size_t>(got);
    Result<void> written = write_all(to, {buffer.data(), have});
    if (!written.ok()) return written;
    done += have;
  }
  return {};
}

}  // namespace pn::storage
