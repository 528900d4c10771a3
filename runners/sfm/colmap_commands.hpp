#pragma once

#include "runners/sfm/options.hpp"

#include <cstddef>
#include <map>
#include <string>
#include <vector>

namespace pn::runners::sfm {

/// One attempt at a reconstruction, as COLMAP 3.8's command line needs it told. Paths are relative
/// to the folder it runs in.
struct ColmapPlan {
  std::string database;
  std::string photos;
  std::string models;
  ProfileSettings settings;
  std::optional<Intrinsics> intrinsics;
  bool one_camera = true;  ///< all photos have one size
  Matcher matcher = Matcher::exhaustive;
  int overlap = 5;
  std::size_t photo_count = 0;
  int threads = 1;
};

std::vector<std::string> feature_arguments(const ColmapPlan& plan);
std::vector<std::string> match_arguments(const ColmapPlan& plan);
/// Takes matches from a list instead of finding them, and verifies them.
std::vector<std::string> import_arguments(const ColmapPlan& plan, const std::string& list);
std::vector<std::string> map_arguments(const ColmapPlan& plan);

/// All that COLMAP's processes see of the environment. `home` holds what they might write.
std::map<std::string, std::string> colmap_environment(const std::string& home, int threads);

}  // namespace pn::runners::sfm
