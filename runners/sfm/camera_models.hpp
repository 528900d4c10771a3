#pragma once

#include <array>
#include <cstddef>
#include <string_view>

namespace pn::runners::sfm {

/// COLMAP's camera models: the index is the id in its files. All begin with the focal length or
/// lengths, then the principal point, then distortion.
struct CameraModel {
  std::string_view name;
  std::size_t parameters;
  bool two_focal_lengths;
};

// NOLINTBEGIN(modernize-use-designated-initializers): a table
inline constexpr std::array<CameraModel, 11> kCameraModels{{
    {"SIMPLE_PINHOLE", 3, false},
    {"PINHOLE", 4, true},
    {"SIMPLE_RADIAL", 4, false},
    {"RADIAL", 5, false},
    {"OPENCV", 8, true},
    {"OPENCV_FISHEYE", 8, true},
    {"FULL_OPENCV", 12, true},
    {"FOV", 5, true},
    {"SIMPLE_RADIAL_FISHEYE", 4, false},
    {"RADIAL_FISHEYE", 5, false},
    {"THIN_PRISM_FISHEYE", 12, true},
}};
// NOLINTEND(modernize-use-designated-initializers)

inline const CameraModel* find_camera_model(std::string_view name) {
  for (const CameraModel& model : kCameraModels) {
    if (model.name == name) return &model;
  }
  return nullptr;
}

}  // namespace pn::runners::sfm
