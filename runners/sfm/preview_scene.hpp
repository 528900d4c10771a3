#pragma once

#include "runners/sfm/colmap_model.hpp"
#include "runners/sfm/geometry.hpp"
#include "runners/sfm/image_io.hpp"
#include "runners/sfm/raster.hpp"

#include <algorithm>
#include <cstddef>
#include <vector>

namespace pn::runners::sfm {

// What the preview shows and from where; preview.cpp draws it.

/// Of the values in order, the one `share` of the way up; 0 of none.
double percentile(std::vector<double> values, double share);

/// Near (0) to far (1): warm to cold, all bright enough for a dark ground.
Colour depth_colour(double share);

/// How each point is drawn on both sides.
class Palette {
 public:
  Palette(const Model& model, const View& view);

  /// The photos have no colour of their own: depth is the colour.
  [[nodiscard]] bool grey() const { return grey_; }
  [[nodiscard]] Colour of(std::size_t index) const { return colours_[index]; }

 private:
  [[nodiscard]] Colour colour(const Point& point, double depth) const;

  bool grey_;
  double near_ = 0;
  double far_ = 1;
  std::vector<Colour> colours_;
};

/// The eye on the right side.
struct Eye {
  Vec3 position;
  Mat3 turn;  ///< world to eye
  double focal = 1;
  double centre_x = 0;
  double centre_y = 0;

  [[nodiscard]] Vertex see(Vec3 point) const {
    const Vec3 p = turn * (point - position);
    const double z = std::max(p.z, 1e-6);
    return {.x = centre_x + focal * p.x / z, .y = centre_y + focal * p.y / z, .depth = p.z};
  }
};

struct Scene {
  const Model& model;
  const View& view;
  const Image& photo;
  Palette palette;
  Clip cloud_area;
  Vec3 middle;
  double radius = 1;  ///< around the middle, of what is to be seen well
  double frustum_size = 1;
};

/// Fills in middle, radius and frustum_size.
void find_extent(Scene& scene);

/// Turned aside and above, so that depth shows, and zoomed to hold cloud and cameras.
Eye place_eye(const Scene& scene);

}  // namespace pn::runners::sfm
