#include "runners/sfm/colmap_commands.hpp"

#include "runners/sfm/options.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <map>
#include <string>
#include <vector>

namespace pn::runners::sfm {
namespace {

/// The shortest text that reads back as the same number, whatever the locale.
std::string number(double value) {
  std::array<char, 32> buffer{};
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
  return {buffer.data(), end};
}

/// Exhaustive matching tells its progress by blocks of photos; one block of everything would tell
/// nothing. Quarters cost no measurable time; larger blocks than 50 cost memory.
std::size_t block_size(std::size_t photos) {
  return std::clamp<std::size_t>((photos + 3) / 4, 2, 50);
}

}  // namespace

std::vector<std::string> feature_arguments(const ColmapPlan& plan) {
  std::vector<std::string> out{
      "feature_extractor",
      "--log_to_stderr",
      "1",  // or it writes log files to /tmp
      "--database_path",
      plan.database,
      "--image_path",
      plan.photos,
      "--ImageReader.single_camera",
      plan.one_camera ? "1" : "0",
      "--SiftExtraction.use_gpu",
      "0",  // its default aborts where there is no display
      "--SiftExtraction.num_threads",
      std::to_string(plan.threads),
      "--SiftExtraction.first_octave",
      std::to_string(plan.settings.first_octave),
      "--SiftExtraction.max_num_features",
      std::to_string(plan.settings.max_features),
      "--SiftExtraction.max_image_size",
      std::to_string(plan.settings.max_image_px),
  };
  if (plan.intrinsics) {
    // In pixels of the files: COLMAP brings key points of a shrunk photo back to that scale.
    std::string params;
    for (const double value : plan.intrinsics->params) {
      params += (params.empty() ? "" : ",") + number(value);
    }
    out.insert(out.end(),
               {"--ImageReader.camera_model",
                plan.intrinsics->model,
                "--ImageReader.camera_params",
                params});
  }
  return out;
}

std::vector<std::string> match_arguments(const ColmapPlan& plan) {
  const bool sequential = plan.matcher == Matcher::sequential;
  std::vector<std::string> out{
      sequential ? "sequential_matcher" : "exhaustive_matcher",
      "--log_to_stderr",
      "1",
      "--database_path",
      plan.database,
      "--SiftMatching.use_gpu",
      "0",
      "--SiftMatching.num_threads",
      std::to_string(plan.threads),
  };
  if (sequential) {
    out.insert(out.end(), {"--SequentialMatching.overlap", std::to_string(plan.overlap)});
  } else {
    out.insert(out.end(),
               {"--ExhaustiveMatching.block_size", std::to_string(block_size(plan.photo_count))});
  }
  return out;
}

std::vector<std::string> import_arguments(const ColmapPlan& plan, const std::string& list) {
  return {"matches_importer",
          "--log_to_stderr",
          "1",
          "--database_path",
          plan.database,
          "--match_list_path",
          list,
          "--match_type",
          "raw",
          "--SiftMatching.use_gpu",
          "0",
          "--SiftMatching.num_threads",
          std::to_string(plan.threads)};
}

std::vector<std::string> map_arguments(const ColmapPlan& plan) {
  const std::string refine = plan.intrinsics ? "0" : "1";
  return {
      "mapper",
      "--log_to_stderr",
      "1",
      "--database_path",
      plan.database,
      "--image_path",
      plan.photos,
      "--output_path",
      plan.models,
      "--Mapper.num_threads",
      std::to_string(plan.threads),
      "--Mapper.ba_refine_focal_length",
      refine,
      "--Mapper.ba_refine_extra_params",
      refine,
  };
}

std::map<std::string, std::string> colmap_environment(const std::string& home, int threads) {
  return {
      {"HOME", home},
      {"TMPDIR", home},
      {"XDG_RUNTIME_DIR", home},
      {"LC_ALL", "C"},
      {"PATH", "/usr/local/bin:/usr/bin:/bin"},
      {"QT_QPA_PLATFORM", "offscreen"},
      {"OMP_NUM_THREADS", std::to_string(threads)},
  };
}

}  // namespace pn::runners::sfm
