#pragma once

#include "base/file.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

namespace pn::testing {

/// A folder that goes with the test.
class TempFolder {
 public:
  TempFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "pn-storage-XXXXXX").string();
    path = ::mkdtemp(name.data());
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  /// Everything below it, folders too, relative and sorted.
  [[nodiscard]] std::vector<std::string> listing() const {
    std::vector<std::string> out;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path)) {
      out.push_back(std::filesystem::relative(entry.path(), path).string());
    }
    std::sort(out.begin(), out.end());
    return out;
  }
  // NOLINTNEXTLINE(modernize-use-nodiscard): called for what it writes
  std::filesystem::path write(const std::string& name, const std::string& bytes) const {
    const std::filesystem::path file = path / name;
    std::filesystem::create_directories(file.parent_path());
    if (!write_file(file, bytes)) std::abort();
    return file;
  }
  [[nodiscard]] static std::string read(const std::filesystem::path& file) {
    Result<std::string> bytes = read_file(file, std::uint64_t{1} << 32U);
    return bytes.ok() ? *std::move(bytes) : "unreadable: " + bytes.error().detail;
  }

  std::filesystem::path path;
};

}  // namespace pn::testing
