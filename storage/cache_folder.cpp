#include "storage/cache_folder.hpp"

#include "base/file.hpp"
#include "base/result.hpp"
#include "storage/cache_entry.hpp"
#include "storage/cache_index.hpp"
#include "storage/file_content.hpp"

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

namespace pn::storage {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPending = "new-";
/// How long the lock is waited for, which others hold for milliseconds: 2 s.
constexpr int kMostTries = 1000;
constexpr std::chrono::milliseconds kPause{2};

UniqueFd open_file(int folder, const std::string& name) {
  // O_NONBLOCK: whatever has come to lie there is not waited for.
  constexpr int kFlags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
  return UniqueFd(::openat(folder, name.c_str(), kFlags));
}

bool look_at(int folder, const std::string& name, struct stat& found) {
  return ::fstatat(folder, name.c_str(), &found, AT_SYMLINK_NOFOLLOW) == 0;
}

}  // namespace

/// The right to add and remove names: no other thread, no other process. The index is right when it
/// begins. Where it is not held, which takes 2 s to be told, nothing may be done.
class CacheFolder::Turn {
 public:
  explicit Turn(CacheFolder& folder)
      : turn_(folder.mutex_), folder_(folder), failed_(folder.try_lock()) {
    if (!held()) return;
    if (folder.read_changes() != folder.changes_) folder.take_stock();
    // Before the change: who dies in it has told the others all the same.
    folder.note_change();
  }
  ~Turn() {
    folder_.seen_bytes_ = folder_.index_.bytes() + folder_.pending_bytes_;
    folder_.seen_entries_ = folder_.index_.count();
    if (held()) ::flock(folder_.lock_.get(), LOCK_UN);
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

  [[nodiscard]] bool held() const { return failed_ == 0; }
  [[nodiscard]] Error not_held() const {
    const std::string where = folder_.path_.string();
    return from_errno(failed_, "cannot lock " + where + ", which another process may keep");
  }

 private:
  const std::lock_guard<std::mutex> turn_;
  CacheFolder& folder_;
  const int failed_;  ///< errno
};

CacheFolder::Pending::Pending(CacheFolder& folder,
                              std::string name,
                              UniqueFd file,
                              std::uint64_t size)
    : folder_(folder), name_(std::move(name)), file_(std::move(file)), size_(size) {}

CacheFolder::Pending::~Pending() {
  if (!published_) folder_.abandon(*this);
}

Result<std::unique_ptr<CacheFolder>> CacheFolder::open(fs::path path, std::uint64_t max_bytes) {
  std::unique_ptr<CacheFolder> out(new CacheFolder(std::move(path), max_bytes));
  const Result<void> begun = out->begin();
  if (!begun.ok()) return begun.error();
  return out;
}

Result<void> CacheFolder::begin() {
  Result<void> made = make_folders(path_, 0700);
  if (!made.ok()) return made;
  const std::string where = path_.string();
  folder_ = UniqueFd(::open(where.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  struct stat found{};
  if (!folder_ || ::fstat(fd(), &found) != 0) return from_errno(errno, "cannot open " + where);
  disk_ = found.st_dev;
  constexpr int kFlags = O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC;
  lock_ = UniqueFd(::openat(folder_.get(), "lock", kFlags, 0600));
  if (!lock_) return from_errno(errno, "cannot open the lock of " + where);
  clones_ = can_clone(folder_.get());
  const Turn turn(*this);
  if (!turn.held()) return turn.not_held();
  const Result<bool> room = make_room(0);
  if (!room.ok()) return room.error();
  return {};
}

/// 0, or errno. A process that was stopped in its turn keeps the lock for as long as that lasts.
/// After one wait in vain nobody waits until it is to be had again: all transfers would be held up.
int CacheFolder::try_lock() {
  for (int tries = kept_from_us_ ? 1 : kMostTries;; --tries) {
    const int failed = ::flock(lock_.get(), LOCK_EX | LOCK_NB) == 0 ? 0 : errno;
    kept_from_us_ = failed != 0;
    if ((failed != EWOULDBLOCK && failed != EINTR) || tries == 1) return failed;
    std::this_thread::sleep_for(kPause);
  }
}

std::uint64_t CacheFolder::read_changes() const {
  std::uint64_t out = 0;
  constexpr auto kSize = static_cast<ssize_t>(sizeof out);
  return ::pread(lock_.get(), &out, sizeof out, 0) == kSize ? out : 0;
}

void CacheFolder::note_change() {
  ++changes_;
  // Also a full disk has these 8 bytes, but for the very first time.
  const ssize_t written = ::pwrite(lock_.get(), &changes_, sizeof changes_, 0);
  static_cast<void>(written);
}

void CacheFolder::take_stock() {
  changes_ = read_changes();
  index_.clear();
  pending_bytes_ = 0;
  std::error_code failed;
  fs::directory_iterator at(path_, failed);
  for (; !failed && at != fs::directory_iterator(); at.increment(failed)) {
    const std::string name = at->path().filename().string();
    if (name.starts_with(kPending)) look_at_pending(name);
    struct stat found{};
    if (!is_entry_name(name) || !look_at(fd(), name, found)) continue;
    if (is_untouched(found, name)) {
      index_.put(name, size_of(found), used_at(found));
    } else {
      discard(name);
    }
  }
}

/// Of a live process, or what one left that died.
void CacheFolder::look_at_pending(const std::string& name) {
  const UniqueFd file = open_file(fd(), name);
  struct stat found{};
  if (!file || ::fstat(file.get(), &found) != 0) return;
  if (::flock(file.get(), LOCK_EX | LOCK_NB) == 0) {
    ::unlinkat(fd(), name.c_str(), 0);
  } else {
    pending_bytes_ += size_of(found);
  }
}

/// False: it does not fit, whatever goes.
Result<bool> CacheFolder::make_room(std::uint64_t size) {
  const bool fits = size <= max_bytes_ && pending_bytes_ <= max_bytes_ - size;
  if (!fits && size > 0) return false;
  while (index_.bytes() + pending_bytes_ > max_bytes_ - size) {
    if (index_.empty()) return false;
    const std::string name = index_.oldest();
    if (!evict(name)) return from_errno(errno, "cannot remove a cached input");
  }
  return true;
}

/// False: it cannot be removed. One that was used meanwhile, as its file tells, only grows younger.
bool CacheFolder::evict(const std::string& name) {
  struct stat found{};
  if (look_at(fd(), name, found) && used_at(found) > index_.used(name)) {
    index_.touch(name, used_at(found));
    return true;
  }
  const bool removed = ::unlinkat(fd(), name.c_str(), 0) == 0;
  if (!removed && errno != ENOENT) return false;
  if (removed) evicted_bytes_ += index_.size_of(name);
  index_.erase(name);
  return true;
}

/// What is no entry, or is to be replaced; there may be none.
void CacheFolder::discard(const std::string& name) {
  ::unlinkat(fd(), name.c_str(), 0);
  index_.erase(name);
}

void CacheFolder::put(const std::string& name, const struct stat& found) {
  index_.put(name, size_of(found), index_.later(used_at(found)));
}

CacheFolder::Use CacheFolder::use() const {
  return {.bytes = seen_bytes_, .entries = seen_entries_, .evicted_bytes = evicted_bytes_};
}

CacheFolder::Entry CacheFolder::find(const std::string& name, std::uint64_t size) const {
  Entry out;
  out.file = open_file(fd(), name);
  struct stat found{};
  if (!out.file || ::fstat(out.file.get(), &found) != 0) return out;
  const bool good = is_untouched(found, name) && size_of(found) == size;
  out.standing = good ? Entry::Standing::good : Entry::Standing::touched;
  return out;
}

void CacheFolder::discard_touched(const std::string& name, std::uint64_t size) {
  const Turn turn(*this);
  if (!turn.held()) return;
  // Another may have put a good one in its place.
  if (find(name, size).standing == Entry::Standing::touched) discard(name);
}

void CacheFolder::touch(int entry, const std::string& name) {
  const std::lock_guard turn(mutex_);
  timespec times[2] = {{.tv_sec = 0, .tv_nsec = UTIME_NOW}, {.tv_sec = 0, .tv_nsec = UTIME_OMIT}};
  struct stat found{};
  if (::futimens(entry, times) != 0 || ::fstat(entry, &found) != 0) return;
  // After every other: uses within one tick of the clock have an order too.
  const CacheIndex::UsedAt used = index_.later(used_at(found));
  if (used != used_at(found)) {
    times[0] = to_timespec(used);
    ::futimens(entry, times);
  }
  index_.touch(name, used);
}

Result<bool> CacheFolder::link(const fs::path& path, const std::string& name, std::uint64_t size) {
  {
    const Turn turn(*this);
    if (!turn.held()) return turn.not_held();
    discard(name);
    Result<bool> room = make_room(size);
    if (!room.ok() || !*room) return room;
    struct stat found{};
    if (::linkat(AT_FDCWD, path.c_str(), fd(), name.c_str(), 0) != 0 ||
        !look_at(fd(), name, found)) {
      return false;
    }
    put(name, found);
  }
  const Result<void> synced = sync();
  if (!synced.ok()) return synced.error();
  return true;
}

Result<std::unique_ptr<CacheFolder::Pending>> CacheFolder::reserve(std::uint64_t size) {
  const Turn turn(*this);
  if (!turn.held()) return turn.not_held();
  const Result<bool> room = make_room(size);
  if (!room.ok()) return room.error();
  if (!*room) return std::unique_ptr<Pending>();
  UniqueFd file;
  std::string name;
  do {  // processes of two containers may have one number
    name = std::string(kPending) + std::to_string(::getpid()) + "-" + std::to_string(serial_++);
    constexpr int kFlags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    file = UniqueFd(::openat(fd(), name.c_str(), kFlags, 0600));
  } while (!file && errno == EEXIST);
  if (!file || ::flock(file.get(), LOCK_SH) != 0 ||
      ::ftruncate(file.get(), static_cast<off_t>(size)) != 0) {
    const int why = errno;
    if (file) ::unlinkat(fd(), name.c_str(), 0);
    return from_errno(why, "cannot add to " + path_.string());
  }
  pending_bytes_ += size;
  return std::make_unique<Pending>(*this, std::move(name), std::move(file), size);
}

Result<void> CacheFolder::publish(Pending& pending, const std::string& name) {
  {
    const Turn turn(*this);
    if (!turn.held()) return turn.not_held();
    struct stat found{};
    if (::fstat(pending.file(), &found) != 0 ||
        ::renameat(fd(), pending.name_.c_str(), fd(), name.c_str()) != 0) {
      return from_errno(errno, "cannot add to " + path_.string());
    }
    pending.published_ = true;
    pending_bytes_ -= pending.size_;
    put(name, found);
  }
  return sync();
}

void CacheFolder::abandon(const Pending& pending) {
  const Turn turn(*this);
  // Also where it is not held: the name is nobody else's, and who is not told of it counts its
  // bytes for a while longer.
  ::unlinkat(fd(), pending.name_.c_str(), 0);
  pending_bytes_ -= pending.size_;
}

/// Of names: a new entry is on the disk.
Result<void> CacheFolder::sync() const {
  if (::fsync(fd()) == 0) return {};
  return from_errno(errno, "cannot write " + path_.string());
}

std::uint64_t CacheFolder::shrink(std::uint64_t bytes) {
  const Turn turn(*this);
  if (!turn.held()) return 0;
  const std::uint64_t before = evicted_bytes_;
  std::set<std::string> in_use;
  for (const std::string& name : index_.oldest_first()) {
    struct stat found{};
    if (!look_at(fd(), name, found)) continue;
    // Who reads a link that was taken uses it too.
    if (used_at(found) > index_.used(name)) index_.touch(name, used_at(found));
    if (found.st_nlink > 1) in_use.insert(name);
  }
  for (const std::string& name : index_.oldest_first()) {
    if (evicted_bytes_ - before >= bytes) break;
    if (!in_use.contains(name)) evict(name);
  }
  return evicted_bytes_ - before;
}

}  // namespace pn::storage
