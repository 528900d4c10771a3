#include "runners/sfm/preview_scene.hpp"

#include "runners/sfm/colmap_model.hpp"
#include "runners/sfm/geometry.hpp"
#include "runners/sfm/raster.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <numbers>
#include <vector>

namespace pn::runners::sfm {
namespace {

bool is_grey(const Model& model) {
  std::size_t coloured = 0;
  for (const Point& point : model.points) {
    const auto [low, high] = std::minmax_element(point.rgb.begin(), point.rgb.end());
    if (*high - *low > 16) ++coloured;
  }
  return coloured * 20 < model.points.size();
}

/// Up and ahead, as the cameras were held on the whole.
struct Frame {
  Vec3 right;
  Vec3 down;
  Vec3 ahead;
};

Frame frame_of(const Model& model, const View& view) {
  Vec3 down{};
  Vec3 ahead{};
  for (const View& each : model.views) {
    const Mat3 turn = rotation(each.q);
    down = down + turn.rows[1];
    ahead = ahead + turn.rows[2];
  }
  const Mat3 own = rotation(view.q);
  down = unit(down, own.rows[1]);
  // Cameras all around their object have no direction in common: take the chosen one's.
  if (length(ahead) < 0.3 * static_cast<double>(model.views.size())) ahead = own.rows[2];
  ahead = unit(ahead - down * dot(ahead, down), own.rows[2]);
  return {.right = unit(cross(down, ahead), own.rows[0]), .down = down, .ahead = ahead};
}

}  // namespace

double percentile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  const auto at =
      values.begin() + static_cast<std::ptrdiff_t>(share * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

Colour depth_colour(double share) {
  constexpr std::array<Colour, 5> kSteps{Colour{.r = 255, .g = 94, .b = 77},
                                         Colour{.r = 255, .g = 190, .b = 70},
                                         Colour{.r = 190, .g = 232, .b = 90},
                                         Colour{.r = 70, .g = 205, .b = 205},
                                         Colour{.r = 110, .g = 140, .b = 255}};
  const double at = std::clamp(share, 0.0, 1.0) * (kSteps.size() - 1);
  const auto low = std::min(static_cast<std::size_t>(at), kSteps.size() - 2);
  return mix(kSteps.at(low), kSteps.at(low + 1), at - static_cast<double>(low));
}

Palette::Palette(const Model& model, const View& view) : grey_(is_grey(model)) {
  const Mat3 turn = rotation(view.q);
  std::vector<double> depths;
  depths.reserve(model.points.size());
  for (const Point& point : model.points) depths.push_back((turn * point.position + view.t).z);
  near_ = percentile(depths, 0.03);
  far_ = percentile(depths, 0.95);
  for (std::size_t i = 0; i < depths.size(); ++i)
    colours_.push_back(colour(model.points[i], depths[i]));
}

Colour Palette::colour(const Point& point, double depth) const {
  const Colour own{.r = static_cast<double>(point.rgb[0]),
                   .g = static_cast<double>(point.rgb[1]),
                   .b = static_cast<double>(point.rgb[2])};
  if (!grey_) return mix(own, {.r = 255, .g = 255, .b = 255}, 0.12);
  return depth_colour((depth - near_) / std::max(far_ - near_, 1e-9));
}

void find_extent(Scene& scene) {
  std::array<std::vector<double>, 3> axes;
  for (auto& axis : axes) axis.reserve(scene.model.points.size());
  for (const Point& point : scene.model.points) {
    axes[0].push_back(point.position.x);
    axes[1].push_back(point.position.y);
    axes[2].push_back(point.position.z);
  }
  scene.middle = {
      .x = percentile(axes[0], 0.5), .y = percentile(axes[1], 0.5), .z = percentile(axes[2], 0.5)};
  std::vector<double> distances;
  distances.reserve(scene.model.points.size());
  for (const Point& point : scene.model.points) {
    distances.push_back(length(point.position - scene.middle));
  }
  scene.radius = std::max(percentile(distances, 0.85), 1e-6);
  std::vector<double> gaps;
  for (const View& a : scene.model.views) {
    double nearest = 1e300;
    for (const View& b : scene.model.views) {
      if (&a != &b) nearest = std::min(nearest, length(a.position() - b.position()));
    }
    gaps.push_back(nearest);
  }
  scene.frustum_size =
      std::clamp(0.9 * percentile(gaps, 0.5), 0.05 * scene.radius, 0.2 * scene.radius);
}

Eye place_eye(const Scene& scene) {
  const Frame frame = frame_of(scene.model, scene.view);
  constexpr double kAside = 22 * std::numbers::pi / 180;
  constexpr double kAbove = 24 * std::numbers::pi / 180;
  const Vec3 level = frame.ahead * -std::cos(kAside) - frame.right * std::sin(kAside);
  const Vec3 towards_eye = level * std::cos(kAbove) - frame.down * std::sin(kAbove);
  double reach = scene.radius;
  for (const View& view : scene.model.views) {
    reach = std::max(reach, length(view.position() - scene.middle));
  }
  Eye eye;
  eye.position = scene.middle + towards_eye * (2.6 * reach);
  const Vec3 ahead = unit(scene.middle - eye.position);
  const Vec3 right = unit(cross(frame.down, ahead));
  eye.turn = {{right, cross(ahead, right), ahead}};

  std::vector<double> xs;
  std::vector<double> ys;
  for (const Point& point : scene.model.points) {
    if (length(point.position - scene.middle) > 1.6 * scene.radius) continue;
    const Vertex at = eye.see(point.position);
    xs.push_back(at.x);
    ys.push_back(at.y);
  }
  double left = percentile(xs, 0.01);
  double right_edge = percentile(xs, 0.99);
  double top = percentile(ys, 0.01);
  double bottom = percentile(ys, 0.99);
  for (const View& view : scene.model.views) {
    const Vertex at = eye.see(view.position());
    left = std::min(left, at.x);
    right_edge = std::max(right_edge, at.x);
    top = std::min(top, at.y);
    bottom = std::max(bottom, at.y);
  }
  const Clip& area = scene.cloud_area;
  const double width = area.right - area.left;
  const double height = area.bottom - area.top;
  eye.focal = 0.9 * std::min(width / std::max(right_edge - left, 1e-9),
                             height / std::max(bottom - top, 1e-9));
  eye.centre_x = area.left + width / 2 - eye.focal * (left + right_edge) / 2;
  eye.centre_y = area.top + height / 2 - eye.focal * (top + bottom) / 2;
  return eye;
}

}  // namespace pn::runners::sfm
