#include "storage/whole_file.hpp"

#include "base/file.hpp"
#include "base/result.hpp"

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <string_view>
#include <utility>

#include <unistd.h>

namespace pn::storage {
namespace {

Result<void> make_parent(const std::filesystem::path& path) {
  const std::filesystem::path parent = path.parent_path();
  if (parent.empty()) return {};
  return make_folders(parent);
}

}  // namespace

Result<WholeFile> WholeFile::create(const std::filesystem::path& temporary, MakeRoom make_room) {
  Result<UniqueFd> fd = create_new(temporary);
  if (!fd.ok() && fd.error().kind == ErrorKind::not_found) {
    const Result<void> folders = make_parent(temporary);
    if (!folders.ok()) return folders.error();
    fd = create_new(temporary);
  }
  if (!fd.ok()) return std::move(fd).error();
  return WholeFile(*std::move(fd), temporary, std::move(make_room));
}

WholeFile::WholeFile(WholeFile&& other) noexcept
    : fd_(std::move(other.fd_)),
      temporary_(std::exchange(other.temporary_, {})),
      make_room_(std::move(other.make_room_)) {}

WholeFile::~WholeFile() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

Result<void> WholeFile::write(std::string_view bytes) {
  return write_all(fd_.get(), bytes, make_room_);
}

Result<void> WholeFile::restart() {
  if (::ftruncate(fd_.get(), 0) != 0 || ::lseek(fd_.get(), 0, SEEK_SET) != 0) {
    return from_errno(errno, "cannot begin a file anew");
  }
  return {};
}

Result<void> WholeFile::commit(const std::filesystem::path& path) {
  if (::fsync(fd_.get()) != 0) return from_errno(errno, "cannot write " + path.string());
  close();
  return publish(path);
}

Result<void> WholeFile::publish(const std::filesystem::path& path) {
  int failed = std::rename(temporary_.c_str(), path.c_str());
  if (failed != 0 && errno == ENOENT) {
    const Result<void> folders = make_parent(path);
    if (!folders.ok()) return folders.error();
    failed = std::rename(temporary_.c_str(), path.c_str());
  }
  if (failed != 0) return from_errno(errno, "cannot move a finished file to " + path.string());
  temporary_.clear();
  return {};
}

}  // namespace pn::storage
