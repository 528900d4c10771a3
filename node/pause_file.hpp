#pragma once

#include "base/awaitable.hpp"
#include "base/offload.hpp"
#include "base/result.hpp"
#include "node/node_status.hpp"

#include <cstdint>
#include <filesystem>
#include <mutex>
#include <optional>

namespace pn::node {

/// STATE_DIR/pause.json: {"until":"2026-11-20T10:00:00.000Z"}, or null for until it is resumed. It
/// is there while the node is paused, so that a pause outlives the process.
class PauseFile final {
 public:
  explicit PauseFile(const std::filesystem::path& state_dir) : path_(state_dir / "pause.json") {}
  PauseFile(const PauseFile&) = delete;
  PauseFile& operator=(const PauseFile&) = delete;

  /// A file that makes no sense counts as a pause without end: an operator asked for one. Blocks.
  static Result<std::optional<Pause>> read(const std::filesystem::path& state_dir);

  /// Makes the file say this; of several under way the latest call wins. Thread: one loop's.
  Awaitable<Result<void>> keep(ThreadPool& io, std::optional<Pause> pause);

 private:
  Result<void> store(std::uint64_t order, const std::optional<Pause>& pause);

  const std::filesystem::path path_;
  std::uint64_t orders_ = 0;  // loop thread only
  std::mutex mutex_;          // of what follows, and of the file
  std::uint64_t stored_ = 0;
};

}  // namespace pn::node
