#pragma once

#include "base/ids.hpp"
#include "base/result.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

namespace pn::storage {

/// One version of one data item, as its metadata record names it.
struct ItemVersion {
  std::string server;  ///< its base URL
  DomainId domain;
  DataId id;
  std::string updated_at;  ///< as sent
  std::uint64_t size = 0;
  std::string sha256{};  ///< in hex; empty where the server does not tell

  friend bool operator==(const ItemVersion&, const ItemVersion&) = default;
};

/// Inputs on disk that other tasks may ask for again: whole files, shared by the slots of a node
/// and by nodes with one folder, read-only, the least recently used gone first. Survives crashes:
/// a file is there under its name, whole, or not at all. Calls block; any thread. Who waits 2 s for
/// another process to change the folder goes without: that may have been stopped in the middle.
///
/// Where files cannot share their blocks (ext4), an entry and the files that were taken of it are
/// one file: who writes to one, writes to all. That is found out by the time of its last change,
/// and the entry not used again; one who sets that time back is not.
///
/// The folder (frozen):
///   64 hex digits   an entry, its content as it is. The name is the SHA-256 of "posenode input 2"
///                   and, for each field of ItemVersion in its order, "\n", its length, ":", itself
///                   (a number in decimal digits). Mode 0444. Its mtime is 2000-01-01T00:00:00Z and
///                   as many seconds as the first 7 digits say; its atime is its last use.
///   new-*           not an entry yet: of a live process while that holds a shared flock on it.
///                   Its size counts.
///   lock            flock'ed exclusively to add or remove files. 8 bytes, the machine's order: how
///                   often that was done, so that others know that they must look again.
class InputCache final {
 public:
  struct Options {
    std::filesystem::path folder;  ///< on the disk of the workspaces, or every hit is a copy
    std::uint64_t max_bytes = 0;   ///< never passed, also not while something is added; 0: none
  };
  struct Stats {
    std::uint64_t bytes = 0;  ///< what is in the folder
    std::uint64_t max_bytes = 0;
    std::size_t entries = 0;
    std::uint64_t hits = 0;  ///< of take(), since open()
    std::uint64_t misses = 0;
    std::uint64_t evicted_bytes = 0;  ///< for room, by us, since open()
  };

  /// Makes the folder, takes stock of it, removes what a crash left half and what is over the
  /// quota.
  static Result<std::unique_ptr<InputCache>> open(Options options);
  ~InputCache();
  InputCache(const InputCache&) = delete;
  InputCache& operator=(const InputCache&) = delete;

  /// `path`, which does not exist and whose folder does, becomes this version's content: a reflink,
  /// a hard link, or a copy, whichever works first; mode 0444. False: it is not here (any more). An
  /// Error is of `path`'s folder (kind `full`: its disk), and leaves nothing there.
  Result<bool> take(const ItemVersion& version, const std::filesystem::path& path);
  /// Keeps the content of `path`, a whole and verified file that nobody writes to from now on: it
  /// becomes read-only, and may get another mtime. Makes room first; one larger than the quota is
  /// not kept. Kind `full`: the disk is; `corrupt`, code "file_changed": it is not of that size.
  Result<void> keep(const ItemVersion& version, const std::filesystem::path& path);
  /// Removes the least recently used until `bytes` are freed or nothing more can be: what a
  /// workspace has a hard link to, takes no less room for being removed here. Answers how many
  /// bytes were. For a disk that is needed for work.
  std::uint64_t shrink(std::uint64_t bytes);

  [[nodiscard]] std::uint64_t bytes() const { return stats().bytes; }
  /// As the last change left it; does not block.
  [[nodiscard]] Stats stats() const;

 private:
  struct Impl;
  explicit InputCache(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace pn::storage
