#pragma once

#include "base/digest.hpp"
#include "base/file.hpp"
#include "base/result.hpp"
#include "storage/whole_file.hpp"

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace pn::storage {

/// One item's bytes on their way to the disk: a temporary that grows from its front, and the digest
/// that the whole is to have, where one was promised. Nobody sees it under its own name before it
/// is verified. Every call blocks.
class IncomingFile final {
 public:
  /// As WholeFile has it.
  static Result<IncomingFile> create(const std::filesystem::path& temporary,
                                     MakeRoom make_room = {});

  [[nodiscard]] std::uint64_t size() const { return size_; }
  /// The 32 bytes of the SHA-256 that the whole has. Told before the first byte, the bytes are
  /// hashed as they come; told later, verify() reads them again.
  void promise(std::string sha256);
  [[nodiscard]] const std::optional<std::string>& promised() const { return promised_; }

  Result<void> write(std::string_view bytes);
  /// No bytes, no promise.
  Result<void> restart();
  /// Kind `retry`, code "digest_mismatch", when the bytes are not those promised. `stop` ends it
  /// with code "stopped".
  Result<void> verify(const std::atomic<bool>& stop);
  /// fsync and rename, after verify().
  Result<void> commit(const std::filesystem::path& path) { return file_.commit(path); }
  /// For many at once (DownloadFolder).
  [[nodiscard]] WholeFile take() && { return std::move(file_); }

 private:
  explicit IncomingFile(WholeFile file) : file_(std::move(file)) {}
  Result<Sha256Digest> digest(const std::atomic<bool>& stop);

  WholeFile file_;
  std::uint64_t size_ = 0;
  std::optional<std::string> promised_;
  std::optional<Sha256> hash_;  ///< of all bytes so far
};

}  // namespace pn::storage
