#pragma once

#include "base/digest.hpp"
#include "base/result.hpp"

#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <string>

namespace pn::market {

/// The SHA-256 of an upload's file, taken behind its parts while others still come: at the end
/// there is little left to read. Parts come in any order, several at a time; what is whole is read
/// back in order, from the page cache as a rule. Any thread; follow() and finish() block.
///
/// Invariants: `hashed_` bytes from the start are in `hash_`; `whole_` are parts behind them, none
/// twice. Where a part is written once more that was read already, all is given up: nothing is
/// answered then, and the caller reads the file anew.
class UploadDigest final {
 public:
  /// A part is about to be written, maybe not for the first time.
  void begin(std::uint64_t offset);
  /// It is whole. True: follow() has something to do.
  bool end(std::uint64_t offset, std::uint64_t size);
  /// Takes the next whole part in, unless another thread is at it. True: and may go on.
  bool follow(const std::filesystem::path& path);
  /// Once, when no part is being written: takes in what is left. Lower-case hex; nothing when the
  /// parts that this object has seen are not all `size` bytes.
  std::optional<std::string> finish(const std::filesystem::path& path, std::uint64_t size);

 private:
  enum class By { follower, finisher };
  bool step(const std::filesystem::path& path, By by);
  [[nodiscard]] bool ready() const { return !given_up_ && whole_.contains(hashed_); }

  std::mutex mutex_;
  std::condition_variable rested_;
  std::map<std::uint64_t, std::uint64_t> whole_;  ///< offset -> size
  std::uint64_t hashed_ = 0;
  std::uint64_t reading_to_ = 0;  ///< a thread reads from hashed_ to here, without the lock
  bool reading_ = false;
  bool finishing_ = false;  ///< no followers any more
  bool given_up_ = false;
  Sha256 hash_;  ///< of the thread that reads
};

/// Reads `size` bytes from `offset` on into `hash`; kind `corrupt`, code "upload_size", when there
/// are fewer. Blocks.
Result<void> hash_range(const std::filesystem::path& path,
                        std::uint64_t offset,
                        std::uint64_t size,
                        Sha256& hash);

}  // namespace pn::market
