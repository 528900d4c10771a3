#pragma once

#include "auth/jwt.hpp"
#include "base/file.hpp"
#include "base/result.hpp"

#include <filesystem>

namespace pn::market {

/// The folder a market lives in, locked for it alone. What is in it: `market.sqlite`,
/// `signing-key.pem` (0600), `blobs/`, `lock`.
class DataFolder final {
 public:
  /// Makes the folder (0700) where it is missing. Blocks. Kind `rejected`, code "data_in_use", when
  /// another market holds it.
  static Result<DataFolder> open(const std::filesystem::path& path);

  [[nodiscard]] std::filesystem::path database() const { return path_ / "market.sqlite"; }
  [[nodiscard]] std::filesystem::path blobs() const { return path_ / "blobs"; }

  /// The key that signs every token; made the first time. Blocks.
  [[nodiscard]] Result<auth::SigningKey> signing_key() const;

 private:
  DataFolder(std::filesystem::path path, UniqueFd lock)
      : path_(std::move(path)), lock_(std::move(lock)) {}

  std::filesystem::path path_;
  UniqueFd lock_;
};

}  // namespace pn::market
