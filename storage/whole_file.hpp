#pragma once

#include "base/file.hpp"
#include "base/result.hpp"

#include <filesystem>
#include <string_view>
#include <utility>

namespace pn::storage {

/// A file that appears whole or not at all: a temporary in the same folder until commit(); removed
/// when it is destroyed before that. All calls block.
class WholeFile final {
 public:
  /// `make_room` as write_all() has it, and as long as this is written to.
  static Result<WholeFile> create(const std::filesystem::path& temporary, MakeRoom make_room = {});
  ~WholeFile();
  WholeFile(WholeFile&& other) noexcept;
  WholeFile& operator=(WholeFile&&) = delete;

  Result<void> write(std::string_view bytes);
  /// Back to no bytes.
  Result<void> restart();
  /// fsync, then publish().
  Result<void> commit(const std::filesystem::path& path);

  // The two halves of commit(), for many small files that one call brings to the disk.
  void close() { fd_.reset(); }
  /// Renames to `path`, whose folders are made.
  Result<void> publish(const std::filesystem::path& path);

  [[nodiscard]] const std::filesystem::path& temporary() const { return temporary_; }

 private:
  WholeFile(UniqueFd fd, std::filesystem::path temporary, MakeRoom make_room)
      : fd_(std::move(fd)), temporary_(std::move(temporary)), make_room_(std::move(make_room)) {}

  UniqueFd fd_;
  std::filesystem::path temporary_;  ///< empty: nothing to remove
  MakeRoom make_room_;
};

}  // namespace pn::storage
