#include "storage/input_cache.hpp"

#include "base/file.hpp"
#include "base/result.hpp"
#include "storage/cache_entry.hpp"
#include "storage/cache_folder.hpp"
#include "storage/file_content.hpp"

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace pn::storage {
namespace {

namespace fs = std::filesystem;
using Standing = CacheFolder::Entry::Standing;

constexpr unsigned kReadOnly = 0444;

}  // namespace

struct InputCache::Impl {
  explicit Impl(std::unique_ptr<CacheFolder> f) : folder(std::move(f)) {}

  Result<bool> bring(int entry, const std::string& name, const fs::path& path) const;
  Result<void> keep_copy(int source, const std::string& name, std::uint64_t size) const;

  const std::unique_ptr<CacheFolder> folder;
  std::atomic<std::uint64_t> hits{0};
  std::atomic<std::uint64_t> misses{0};
};

InputCache::InputCache(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
InputCache::~InputCache() = default;

Result<std::unique_ptr<InputCache>> InputCache::open(Options options) {
  Result<std::unique_ptr<CacheFolder>> folder =
      CacheFolder::open(std::move(options.folder), options.max_bytes);
  if (!folder.ok()) return std::move(folder).error();
  return std::unique_ptr<InputCache>(new InputCache(std::make_unique<Impl>(*std::move(folder))));
}

Result<bool> InputCache::take(const ItemVersion& version, const fs::path& path) {
  CacheFolder& folder = *impl_->folder;
  const std::string name = entry_name(version);
  const CacheFolder::Entry entry = folder.find(name, version.size);
  bool hit = entry.standing == Standing::good;
  if (hit) {
    const Result<bool> brought = impl_->bring(entry.file.get(), name, path);
    if (!brought.ok()) return brought;
    hit = *brought;
    if (!hit) ::unlink(path.c_str());
  }
  if (hit) {
    folder.touch(entry.file.get(), name);
    ++impl_->hits;
  } else {
    if (entry.standing != Standing::missing) folder.discard_touched(name, version.size);
    ++impl_->misses;
  }
  return hit;
}

/// Makes `path` of it. False: it was written to until just now, or another is in its place.
Result<bool> InputCache::Impl::bring(int entry,
                                     const std::string& name,
                                     const fs::path& path) const {
  struct stat found{};
  // A runner may have made it writable, and not written.
  ::fchmod(entry, kReadOnly);
  if (!folder->clones() && ::linkat(folder->fd(), name.c_str(), AT_FDCWD, path.c_str(), 0) == 0) {
    return ::lstat(path.c_str(), &found) == 0 && is_untouched(found, name);
  }
  const Result<UniqueFd> file = create_new(path, kReadOnly);
  if (!file.ok()) return file.error();
  ::fchmod(file->get(), kReadOnly);  // whatever the umask is
  Result<void> copied;
  if (!folder->clones() || !clone_content(entry, file->get())) {
    copied = ::fstat(entry, &found) == 0 ? copy_content(entry, file->get(), size_of(found))
                                         : from_errno(errno, "cannot look at a cached input");
  }
  if (copied.ok()) return ::fstat(entry, &found) == 0 && is_untouched(found, name);
  ::unlink(path.c_str());
  if (copied.error().kind == ErrorKind::corrupt) return false;
  return copied.error();
}

Result<void> InputCache::keep(const ItemVersion& version, const fs::path& path) {
  CacheFolder& folder = *impl_->folder;
  const UniqueFd source(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  struct stat found{};
  if (!source || ::fstat(source.get(), &found) != 0) {
    return from_errno(errno, "cannot open " + path.string());
  }
  if (!S_ISREG(found.st_mode) || size_of(found) != version.size) {
    return Error(ErrorKind::corrupt,
                 "file_changed",
                 path.string() + " is not the file of " + std::to_string(version.size) +
                     " bytes that it was");
  }
  if (::fchmod(source.get(), kReadOnly) != 0) {
    return from_errno(errno, "cannot make read-only " + path.string());
  }
  if (folder.max_bytes() == 0 || version.size > folder.max_bytes()) return {};
  const std::string name = entry_name(version);
  const CacheFolder::Entry entry = folder.find(name, version.size);
  if (entry.standing == Standing::good) {  // another slot was quicker
    folder.touch(entry.file.get(), name);
    return {};
  }
  if (folder.links(found.st_dev)) {
    const Result<void> sealed = seal(source.get(), name);
    if (!sealed.ok()) return sealed;
    const Result<bool> linked = folder.link(path, name, version.size);
    if (!linked.ok()) return linked.error();
    if (*linked) return {};
  }
  return impl_->keep_copy(source.get(), name, version.size);
}

/// For another disk, and for files that share their blocks.
Result<void> InputCache::Impl::keep_copy(int source,
                                         const std::string& name,
                                         std::uint64_t size) const {
  const Result<std::unique_ptr<CacheFolder::Pending>> pending = folder->reserve(size);
  if (!pending.ok()) return pending.error();
  if (!*pending) return {};
  const int file = (*pending)->file();
  if (!folder->clones() || !clone_content(source, file)) {
    Result<void> copied = copy_content(source, file, size);
    if (!copied.ok()) return copied;
  }
  Result<void> sealed = seal(file, name);
  if (!sealed.ok()) return sealed;
  return folder->publish(**pending, name);
}

std::uint64_t InputCache::shrink(std::uint64_t bytes) { return impl_->folder->shrink(bytes); }

InputCache::Stats InputCache::stats() const {
  const CacheFolder::Use use = impl_->folder->use();
  return {.bytes = use.bytes,
          .max_bytes = impl_->folder->max_bytes(),
          .entries = use.entries,
          .hits = impl_->hits,
          .misses = impl_->misses,
          .evicted_bytes = use.evicted_bytes};
}

}  // namespace pn::storage
