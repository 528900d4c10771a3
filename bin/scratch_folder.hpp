#pragma once

#include "base/file.hpp"
#include "base/result.hpp"

#include <cerrno>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>

#include <stdlib.h>

namespace pn::bin {

/// A folder of our own (0700) under TMPDIR, which goes with all that is in it.
class ScratchFolder final {
 public:
  static Result<ScratchFolder> make() {
    std::error_code failed;
    const std::filesystem::path parent = std::filesystem::temp_directory_path(failed);
    if (failed) return from_errno(failed.value(), "TMPDIR");
    std::string name = (parent / "posenode-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) {
      return from_errno(errno, "cannot make a folder in " + parent.string());
    }
    return ScratchFolder(name);
  }
  ~ScratchFolder() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  ScratchFolder(ScratchFolder&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  ScratchFolder& operator=(ScratchFolder&&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  explicit ScratchFolder(std::filesystem::path path) : path_(std::move(path)) {}
  std::filesystem::path path_;
};

}  // namespace pn::bin
