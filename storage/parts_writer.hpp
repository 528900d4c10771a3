#pragma once

#include "base/result.hpp"
#include "http/multipart.hpp"
#include "storage/file_body.hpp"
#include "storage/ports.hpp"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace pn::storage {

/// Writes a multipart answer of a domain server to disk as it comes: each part under its
/// download_path() in a fresh folder, whole and checked against its size. Until finish() has
/// succeeded all of it is provisional: the destructor removes the folder. Every call blocks.
class PartsWriter final {
 public:
  /// `folder` does not exist yet.
  PartsWriter(std::filesystem::path folder, const std::string& boundary);
  ~PartsWriter();
  PartsWriter(const PartsWriter&) = delete;
  PartsWriter& operator=(const PartsWriter&) = delete;

  Result<void> consume(std::string_view bytes);
  /// At the end of the body. Kind `corrupt` when it ended early, `not_found` when it held no part.
  Result<std::vector<InputFile>> finish();

 private:
  Result<void> begin_part();
  Result<void> end_part();

  const std::filesystem::path folder_;
  http::MultipartReader reader_;
  bool made_ = false;
  bool finished_ = false;
  std::optional<WholeFile> file_;
  InputFile current_;
  std::vector<InputFile> files_;
  std::set<std::filesystem::path> taken_;
};

}  // namespace pn::storage
