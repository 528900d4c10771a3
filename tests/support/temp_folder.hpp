#pragma once

#include "base/file.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

namespace pn::testing {

/// A folder that goes with the test, below `in`; its name begins with `prefix`.
class TempFolder final {
 public:
  explicit TempFolder(const std::string& prefix = "pn-",
                      const std::filesystem::path& in = std::filesystem::temp_directory_path()) {
    std::string name = (in / (prefix + "XXXXXX")).string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot make " + name);
    path = name;
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  [[nodiscard]] std::string file(const std::string& name) const { return (path / name).string(); }
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
