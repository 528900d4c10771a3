#pragma once

#include "base/ids.hpp"
#include "base/result.hpp"

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

  friend bool operator==(const ItemVersion&, const ItemVersion&) = default;
};

/// Inputs on disk that other tasks may ask for again: whole files, shared by the slots of a node
/// and by nodes with one folder, read-only, the least recently used gone first. Survives crashes:
/// a file is there under its name, whole, or not at all. Every call blocks; any thread.
class InputCache final {
 public:
  struct Options {
    std::filesystem::path folder;  ///< on the disk of the workspaces, or every hit is a copy
    std::uint64_t max_bytes = 0;   ///< never passed, also not while something is added
  };

  /// Makes the folder, takes stock of it, removes what a crash left half and what is over the
  /// quota.
  static Result<std::unique_ptr<InputCache>> open(Options options);
  ~InputCache();
  InputCache(const InputCache&) = delete;
  InputCache& operator=(const InputCache&) = delete;

  /// `path`, which does not exist, becomes this version's content: a reflink, a hard link, or a
  /// copy, whichever works first. False: it is not here (any more).
  Result<bool> take(const ItemVersion& version, const std::filesystem::path& path);
  /// Keeps the content of `path`, a whole and verified file that nobody writes to from now on (it
  /// becomes read-only). Makes room first; one larger than the quota is not kept.
  Result<void> keep(const ItemVersion& version, const std::filesystem::path& path);
  /// Removes the least recently used until `bytes` are freed or nothing is left; answers how many
  /// were. For a disk that is needed for work.
  std::uint64_t shrink(std::uint64_t bytes);

  [[nodiscard]] std::uint64_t bytes() const;

 private:
  struct Impl;
  explicit InputCache(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace pn::storage
