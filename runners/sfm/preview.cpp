#include "runners/sfm/preview.hpp"

#include "runners/sfm/colmap_model.hpp"
#include "runners/sfm/delaunay.hpp"
#include "runners/sfm/geometry.hpp"
#include "runners/sfm/image_io.hpp"
#include "runners/sfm/preview_scene.hpp"
#include "runners/sfm/raster.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <utility>
#include <vector>

namespace pn::runners::sfm {
namespace {

// Drawn at twice the size and halved at the end: the only smoothing there is.
constexpr int kWidth = 2560;
constexpr int kHeight = 1440;
constexpr Colour kTop{.r = 30, .g = 34, .b = 42};
constexpr Colour kBottom{.r = 14, .g = 16, .b = 20};
constexpr Colour kText{.r = 236, .g = 238, .b = 242};
constexpr Colour kDim{.r = 150, .g = 156, .b = 168};
constexpr Colour kCamera{.r = 245, .g = 246, .b = 250};
constexpr Colour kChosen{.r = 255, .g = 196, .b = 60};
/// For the relief; more tell no more, and the triangulation is quadratic.
constexpr std::size_t kReliefPoints = 3000;

/// Stretched from its darkest to its brightest and lifted a little: a faded photo that was dark
/// would be no photo.
Image levelled(const Image& photo) {
  std::array<std::size_t, 256> counts{};
  for (const std::uint8_t value : photo.pixels) ++counts.at(value);
  const auto level = [&](double share) {
    std::size_t left = static_cast<std::size_t>(share * static_cast<double>(photo.pixels.size()));
    std::size_t value = 0;
    while (value < 255 && counts.at(value) <= left) left -= counts.at(value++);
    return static_cast<double>(value);
  };
  const double dark = level(0.01);
  const double bright = std::max(level(0.97), dark + 32);
  std::array<std::uint8_t, 256> table{};
  for (std::size_t i = 0; i < table.size(); ++i) {
    const double share = std::clamp((static_cast<double>(i) - dark) / (bright - dark), 0.0, 1.0);
    table.at(i) = static_cast<std::uint8_t>(std::pow(share, 0.75) * 255);
  }
  Image out = photo;
  for (std::uint8_t& value : out.pixels) value = table.at(value);
  return out;
}

/// A point of the chosen photo, where it is in the photo, in the world, and how far from the
/// camera.
struct Knot {
  Place place;
  Vec3 position;
  double depth = 0;
};
using Corners = std::array<std::size_t, 3>;

std::vector<Corners> triangles_of(const std::vector<Knot>& knots) {
  std::vector<Place> places;
  places.reserve(knots.size());
  for (const Knot& knot : knots) places.push_back(knot.place);
  return triangulate(places);
}

std::vector<Knot> knots_of(const Scene& scene) {
  std::unordered_map<std::uint64_t, Vec3> positions;
  for (const Point& point : scene.model.points) positions.emplace(point.id, point.position);
  std::vector<Knot> out;
  const Mat3 turn = rotation(scene.view.q);
  for (const Observation& observation : scene.view.observations) {
    const auto at = positions.find(observation.point);
    if (at == positions.end()) continue;
    const double depth = (turn * at->second + scene.view.t).z;
    if (depth > 0) out.push_back({{.x = observation.x, .y = observation.y}, at->second, depth});
  }
  const std::size_t step = out.size() / kReliefPoints + 1;
  std::size_t index = 0;
  std::erase_if(out, [&](const Knot&) { return index++ % step != 0; });
  return out;
}

/// Points that lie far before or behind all that surrounds them in the photo would be spikes.
std::vector<Knot> without_spikes(std::vector<Knot> knots) {
  std::vector<std::vector<double>> around(knots.size());
  for (const Corners& corners : triangles_of(knots)) {
    for (std::size_t i = 0; i < 3; ++i) {
      around[corners.at(i)].push_back(knots[corners.at((i + 1) % 3)].depth);
      around[corners.at(i)].push_back(knots[corners.at((i + 2) % 3)].depth);
    }
  }
  std::size_t index = 0;
  std::erase_if(knots, [&](const Knot& knot) {
    const std::vector<double>& depths = around[index++];
    return !depths.empty() && std::abs(percentile(depths, 0.5) / knot.depth - 1) > 0.08;
  });
  return knots;
}

/// The photo on a surface through the points it sees: what makes scattered dots a thing.
void draw_relief(Canvas& canvas, const Scene& scene, const Eye& eye) {
  const Camera* camera = scene.model.camera(scene.view.camera);
  if (camera == nullptr || camera->width == 0) return;
  const double scale = static_cast<double>(scene.photo.width) / static_cast<double>(camera->width);
  const double longest = 0.4 * static_cast<double>(std::max(camera->width, camera->height));
  const std::vector<Knot> knots = without_spikes(knots_of(scene));
  for (const Corners& corners : triangles_of(knots)) {
    std::array<Vertex, 3> drawn;
    double nearest = 1e300;
    double farthest = 0;
    double side = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      const Knot& knot = knots[corners.at(i)];
      const Place& next = knots[corners.at((i + 1) % 3)].place;
      drawn.at(i) = eye.see(knot.position);
      drawn.at(i).u = knot.place.x * scale;
      drawn.at(i).v = knot.place.y * scale;
      nearest = std::min(nearest, knot.depth);
      farthest = std::max(farthest, knot.depth);
      side = std::max(side, std::hypot(knot.place.x - next.x, knot.place.y - next.y));
    }
    // No skin across a step in depth, nor where the photo shows nothing that could be measured.
    if (farthest > 1.25 * nearest || side > longest) continue;
    canvas.triangle(drawn, scene.photo, 0.8, mix(kTop, kBottom, 0.5));
  }
}

void draw_cloud(Canvas& canvas, const Scene& scene, const Eye& eye) {
  const double middle_depth = (eye.turn * (scene.middle - eye.position)).z;
  const double few =
      std::clamp(3000.0 / static_cast<double>(scene.model.points.size() + 1), 0.2, 1.0);
  const double size = 3.2 + 2.6 * few;
  for (std::size_t i = 0; i < scene.model.points.size(); ++i) {
    Vertex at = eye.see(scene.model.points[i].position);
    if (at.depth <= 0.05 * middle_depth) continue;
    const double radius = size * std::clamp(middle_depth / at.depth, 0.5, 2.0);
    const double haze = std::clamp((at.depth / middle_depth - 1.1) * 0.5, 0.0, 0.55);
    at.depth -= 0.01 * scene.radius;  // a point lies on its surface, not half in it
    canvas.disc(at, radius, mix(scene.palette.of(i), kTop, haze));
  }
}

void draw_camera(Canvas& canvas, const Scene& scene, const Eye& eye, const View& view) {
  const Camera* camera = scene.model.camera(view.camera);
  if (camera == nullptr) return;
  const bool chosen = &view == &scene.view;
  const Colour colour = chosen ? kChosen : kCamera;
  const double depth = scene.frustum_size * (chosen ? 1.35 : 1.0);
  const Mat3 turn = rotation(view.q);
  const Vec3 position = view.position();
  const auto corner = [&](double x, double y) {
    const Vec3 in_camera{.x = (x - camera->centre_x()) / camera->focal_x() * depth,
                         .y = (y - camera->centre_y()) / camera->focal_y() * depth,
                         .z = depth};
    return eye.see(position + times_transposed(turn, in_camera));
  };
  const auto width = static_cast<double>(camera->width);
  const auto height = static_cast<double>(camera->height);
  const std::array<Vertex, 4> corners{
      corner(0, 0), corner(width, 0), corner(width, height), corner(0, height)};
  const Vertex apex = eye.see(position);
  const double thick = chosen ? 4.5 : 3;
  for (std::size_t i = 0; i < corners.size(); ++i) {
    canvas.line(apex, corners.at(i), thick, colour, 0.85);
    canvas.line(corners.at(i), corners.at((i + 1) % 4), thick, colour, 1);
  }
}

void draw_right(Canvas& canvas, Scene& scene) {
  find_extent(scene);
  const Eye eye = place_eye(scene);
  canvas.clip(scene.cloud_area);
  draw_relief(canvas, scene, eye);
  draw_cloud(canvas, scene, eye);
  canvas.forget_depth();  // cameras are never hidden
  for (std::size_t i = 1; i < scene.model.views.size(); ++i) {
    canvas.line(eye.see(scene.model.views[i - 1].position()),
                eye.see(scene.model.views[i].position()),
                2,
                kCamera,
                0.35);
  }
  canvas.forget_depth();
  for (const View& view : scene.model.views) draw_camera(canvas, scene, eye, view);
  canvas.unclip();
}

void draw_left(Canvas& canvas, const Scene& scene, Clip where) {
  canvas.picture(scene.photo, where, 0.62);
  const Camera* camera = scene.model.camera(scene.view.camera);
  if (camera == nullptr || camera->width == 0) return;
  const double scale = (where.right - where.left) / static_cast<double>(camera->width);
  std::unordered_map<std::uint64_t, std::size_t> index_of;
  for (std::size_t i = 0; i < scene.model.points.size(); ++i) {
    index_of.emplace(scene.model.points[i].id, i);
  }
  canvas.clip(where);
  for (const Observation& observation : scene.view.observations) {
    const auto at = index_of.find(observation.point);
    if (at == index_of.end()) continue;
    const Vertex centre{.x = where.left + observation.x * scale,
                        .y = where.top + observation.y * scale,
                        .depth = 0};
    canvas.disc(centre, 5, scene.palette.of(at->second));
  }
  canvas.unclip();
}

void draw_legend(Canvas& canvas, int x, int y) {
  canvas.text(x, y, 3, "near", kDim);
  x += Canvas::text_width(3, "near ") + 10;
  for (int i = 0; i < 240; i += 4) {
    const Vertex from{.x = static_cast<double>(x + i), .y = y + 10.0, .depth = 0};
    canvas.line(from, {.x = from.x + 4, .y = from.y, .depth = 0}, 14, depth_colour(i / 240.0), 1);
  }
  canvas.text(x + 266, y, 3, "far", kDim);
}

}  // namespace

const View* choose_view(const Model& model) {
  const View* best = nullptr;
  std::ptrdiff_t most = -1;
  for (const View& view : model.views) {
    const auto seen = std::count_if(view.observations.begin(),
                                    view.observations.end(),
                                    [](const Observation& o) { return o.point != kNoPoint; });
    if (seen <= most) continue;
    most = seen;
    best = &view;
  }
  return best;
}

Image draw_preview(const Model& model,
                   const View& view,
                   const Image& photo,
                   std::string_view caption) {
  const Image bright = levelled(photo);
  Canvas canvas(kWidth, kHeight);
  canvas.gradient(kTop, kBottom);
  constexpr int kMargin = 56;
  constexpr int kPanelTop = 120;
  constexpr int kPanelBottom = 1240;
  constexpr int kLeftEnd = 1180;

  const double scale = std::min(static_cast<double>(kLeftEnd - kMargin) / photo.width,
                                static_cast<double>(kPanelBottom - kPanelTop) / photo.height);
  const int width = static_cast<int>(photo.width * scale);
  const int height = static_cast<int>(photo.height * scale);
  const int top = (kPanelTop + kPanelBottom - height) / 2;
  const Clip left{.left = kMargin, .top = top, .right = kMargin + width, .bottom = top + height};
  Scene scene{.model = model,
              .view = view,
              .photo = bright,
              .palette = Palette(model, view),
              .cloud_area = {.left = left.right + kMargin,
                             .top = kPanelTop - 60,
                             .right = kWidth - kMargin / 2,
                             .bottom = kPanelBottom + 40},
              .middle = {}};
  draw_left(canvas, scene, left);
  canvas.forget_depth();
  draw_right(canvas, scene);

  canvas.text(left.left, left.top - 48, 3, "photo " + view.name + " and the points it sees", kDim);
  canvas.text(
      scene.cloud_area.left, kPanelTop - 48 - 24, 3, "the point cloud and the cameras", kDim);
  if (scene.palette.grey()) draw_legend(canvas, left.left, left.bottom + 26);
  canvas.text(kMargin, kHeight - 104, 6, caption, kText);
  return canvas.halved();
}

}  // namespace pn::runners::sfm
