#pragma once

#include "base/result.hpp"
#include "runners/process.hpp"
#include "runners/runner.hpp"
#include "runners/sfm/photos.hpp"

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

namespace pn::runners::sfm {

inline constexpr std::string_view kCapability = "/spatial/sfm/v1";

struct SfmSettings {
  std::filesystem::path colmap;             ///< from find_colmap()
  int threads = 1;                          ///< SFM_THREADS
  std::chrono::milliseconds grace{30'000};  ///< CANCEL_GRACE_SECS
};

/// SFM_COLMAP, a path or a name, looked up in `search_path` (as $PATH). Kind `not_found`, code
/// "colmap_missing", says how to get it: a node warns with that and goes on without this runner.
Result<std::filesystem::path> find_colmap(const std::string& setting, std::string_view search_path);

/// Photos in, camera poses and a sparse coloured point cloud out (structure from motion), by
/// COLMAP's command line. The task's meta, progress and artifacts: README.md here. `launcher`
/// outlives it.
///
/// Fails with kind `rejected` (another attempt cannot help): "bad_meta", "no_photos",
/// "too_few_photos", "bad_archive", "photo_size"; and, after its own second try, "no_model",
/// "too_few_registered", "error_too_large". Kind `internal`: "colmap_missing", "colmap_failed".
/// Kind `full`: "disk_full".
std::unique_ptr<Runner> make_sfm_runner(SfmSettings settings, ProcessLauncher& launcher);

}  // namespace pn::runners::sfm
