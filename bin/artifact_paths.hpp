#pragma once

#include "base/result.hpp"
#include "bin/jobs.hpp"

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace pn::bin {

/// One file that `--out DIR` brings.
struct WantedFile {
  DataId id;
  std::filesystem::path path;  ///< below DIR; never leaves it
  std::string data_type;

  friend bool operator==(const WantedFile&, const WantedFile&) = default;
};

/// What a job's receipts promise: of each task the artifacts of its last report, under their
/// rel_path, in a folder per task when the job has several. Kind `corrupt` for a path that would
/// leave the folder.
Result<std::vector<WantedFile>> wanted_files(const JobDetails& details);

/// A relative path of plain segments; kind `corrupt` for "", "/x", "a//b", "..", NUL.
Result<std::filesystem::path> safe_relative(std::string_view path);

}  // namespace pn::bin
