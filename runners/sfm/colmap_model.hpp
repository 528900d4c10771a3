#pragma once

#include "base/result.hpp"
#include "runners/sfm/geometry.hpp"

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace pn::runners::sfm {

/// A reconstruction as COLMAP 3.8 stores it (cameras.bin, images.bin, points3D.bin, little endian).
struct Camera {
  std::uint32_t id = 0;
  int model = 0;  ///< index into kCameraModels
  std::uint64_t width = 0;
  std::uint64_t height = 0;
  std::vector<double> params;

  [[nodiscard]] double focal_x() const { return params.at(0); }
  [[nodiscard]] double focal_y() const;
  [[nodiscard]] double centre_x() const;
  [[nodiscard]] double centre_y() const;
};

inline constexpr std::uint64_t kNoPoint = ~std::uint64_t{0};

/// A key point, and the point of the cloud it sees.
struct Observation {
  double x = 0;
  double y = 0;
  std::uint64_t point = kNoPoint;
};

/// A photo whose pose was found. The pose takes world coordinates to the camera's.
struct View {
  std::uint32_t id = 0;
  Quaternion q;
  Vec3 t;
  std::uint32_t camera = 0;
  std::string name;
  std::vector<Observation> observations;

  [[nodiscard]] Vec3 position() const { return times_transposed(rotation(q), t) * -1.0; }
};

struct TrackElement {
  std::uint32_t view = 0;
  std::uint32_t observation = 0;  ///< index into the view's
};

struct Point {
  std::uint64_t id = 0;
  Vec3 position;
  std::array<std::uint8_t, 3> rgb{};
  double error_px = 0;  ///< mean over its track
  std::vector<TrackElement> track;
};

struct Model {
  std::vector<Camera> cameras;
  std::vector<View> views;  ///< by name
  std::vector<Point> points;

  [[nodiscard]] const Camera* camera(std::uint32_t id) const;
  [[nodiscard]] double mean_error_px() const;
  [[nodiscard]] double mean_track_length() const;
};

/// The three files' bytes.
struct ModelFiles {
  std::string cameras;
  std::string images;
  std::string points;
};

/// Kind `internal`, code "bad_model": cut short, or a reference to what is not there. Counts are
/// checked against the bytes that are there before anything is reserved.
Result<Model> parse_model(const ModelFiles& files);
ModelFiles serialise(const Model& model);

/// Blocks. Kind `not_found` where the folder has no model.
Result<Model> read_model(const std::filesystem::path& folder);

}  // namespace pn::runners::sfm
