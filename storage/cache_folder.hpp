#pragma once

#include "base/file.hpp"
#include "base/result.hpp"
#include "storage/cache_index.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include <sys/stat.h>
#include <sys/types.h>

namespace pn::storage {

/// The files of an InputCache and their quota, among the threads of this process and with the other
/// processes that have the same folder: names are added and removed by one at a time. Content is
/// read and written outside of that. Every call blocks, but for another process's turn at most 2 s:
/// then it does nothing, and answers an Error where it can. Any thread.
class CacheFolder final {
 public:
  struct Use {
    std::uint64_t bytes = 0;  ///< with what is not an entry yet
    std::size_t entries = 0;
    std::uint64_t evicted_bytes = 0;
  };
  /// A file that is not an entry yet, of its final size so that it counts. Goes with this object
  /// unless it was published.
  class Pending {
   public:
    Pending(CacheFolder& folder, std::string name, UniqueFd file, std::uint64_t size);
    ~Pending();
    Pending(const Pending&) = delete;
    Pending& operator=(const Pending&) = delete;

    [[nodiscard]] int file() const { return file_.get(); }

   private:
    friend CacheFolder;
    CacheFolder& folder_;
    const std::string name_;
    const UniqueFd file_;
    const std::uint64_t size_;
    bool published_ = false;
  };
  /// An entry, open to be read.
  struct Entry {
    enum class Standing { good, missing, touched };
    UniqueFd file;
    Standing standing = Standing::missing;
  };

  /// Makes the folder, removes what no live process has begun, and what is over the quota.
  static Result<std::unique_ptr<CacheFolder>> open(std::filesystem::path path,
                                                   std::uint64_t max_bytes);
  CacheFolder(const CacheFolder&) = delete;
  CacheFolder& operator=(const CacheFolder&) = delete;

  [[nodiscard]] int fd() const { return folder_.get(); }
  [[nodiscard]] std::uint64_t max_bytes() const { return max_bytes_; }
  /// Files here can share their blocks.
  [[nodiscard]] bool clones() const { return clones_; }
  /// Whether a file of that disk may be linked to from here, and not only be copied.
  [[nodiscard]] bool links(dev_t disk) const { return !clones_ && disk == disk_; }
  /// Waits for nobody.
  [[nodiscard]] Use use() const;

  [[nodiscard]] Entry find(const std::string& name, std::uint64_t size) const;
  /// An entry that find() calls touched, and would again.
  void discard_touched(const std::string& name, std::uint64_t size);
  /// It was used now.
  void touch(int entry, const std::string& name);

  /// A sealed file becomes an entry by a hard link. False: there is no room, or no way to link.
  Result<bool> link(const std::filesystem::path& path, const std::string& name, std::uint64_t size);
  /// Null: there is no room, whatever goes.
  Result<std::unique_ptr<Pending>> reserve(std::uint64_t size);
  /// Once it is sealed.
  Result<void> publish(Pending& pending, const std::string& name);

  /// As InputCache::shrink().
  std::uint64_t shrink(std::uint64_t bytes);

 private:
  class Turn;

  CacheFolder(std::filesystem::path path, std::uint64_t max_bytes)
      : path_(std::move(path)), max_bytes_(max_bytes) {}

  Result<void> begin();
  int try_lock();
  [[nodiscard]] std::uint64_t read_changes() const;
  [[nodiscard]] Result<void> sync() const;
  void abandon(const Pending& pending);

  // Within a Turn.
  void note_change();
  void take_stock();
  void look_at_pending(const std::string& name);
  Result<bool> make_room(std::uint64_t size);
  bool evict(const std::string& name);
  void discard(const std::string& name);
  void put(const std::string& name, const struct stat& found);

  const std::filesystem::path path_;
  const std::uint64_t max_bytes_;
  UniqueFd folder_;
  UniqueFd lock_;
  bool clones_ = false;
  dev_t disk_ = 0;

  std::mutex mutex_;  // of what follows, but for the numbers of use()
  CacheIndex index_;
  std::uint64_t pending_bytes_ = 0;
  std::uint64_t changes_ = std::numeric_limits<std::uint64_t>::max();  // nothing is known yet
  std::uint64_t serial_ = 0;
  bool kept_from_us_ = false;  ///< the lock, when last asked for

  // For use(): as the last Turn left it.
  std::atomic<std::uint64_t> seen_bytes_{0};
  std::atomic<std::size_t> seen_entries_{0};
  std::atomic<std::uint64_t> evicted_bytes_{0};
};

}  // namespace pn::storage
