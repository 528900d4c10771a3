#pragma once

#include "base/result.hpp"
#include "node/journal.hpp"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace pn::node {

/// STATE_DIR/state.db: the attempts that are not over yet, in SQLite (WAL). Everything blocks: call
/// it on a pool. Thread: any, one call at a time goes on.
class StateDb final {
 public:
  struct Options {
    /// The file's upper bound in pages of 4 KiB, so that outcomes that nobody takes do not eat the
    /// disk: 4 GiB.
    std::int64_t max_pages = 1 << 20;
  };

  /// Makes the file (mode 0600) where there is none. Never deletes or overwrites what it cannot
  /// read. Kind `rejected`, code "state_foreign" (not ours), "state_too_new" (a later version's),
  /// "state_corrupt", "state_unwritable"; kind `full`, code "state_full".
  static Result<std::unique_ptr<StateDb>> open(const std::filesystem::path& file, Options options);
  static Result<std::unique_ptr<StateDb>> open(const std::filesystem::path& file) {
    return open(file, Options());
  }
  ~StateDb();
  StateDb(const StateDb&) = delete;
  StateDb& operator=(const StateDb&) = delete;

  /// Rows in the order of their ids, without their bodies.
  Result<std::vector<JournalRow>> load();
  /// Kind `not_found` when there is no such row.
  Result<std::string> body(RowId id);

  /// Whether a commit waits for the disk, or only for the kernel (which outlives us, not a power
  /// cut).
  enum class Sync { lazy, durable };
  /// All of them or, with an Error, none.
  Result<void> write(std::span<const RowChange* const> changes, Sync sync);
  /// As at start: attempts without an outcome get theirs, the failure that they were put with.
  /// Answers how many.
  Result<std::size_t> close_open_attempts();

  /// Gives what is not needed back to the file system.
  Result<void> compact();

 private:
  struct Impl;
  explicit StateDb(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace pn::node
