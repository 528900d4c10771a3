#include "runners/sfm/preview.hpp"

#include "runners/sfm/colmap_model.hpp"
#include "runners/sfm/delaunay.hpp"
#include "runners/sfm/geometry.hpp"
#include "runners/sfm/image_io.hpp"
#include "runners/sfm/raster.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
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

/// Near to far: warm to cold, all bright enough for a dark ground.
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

double percentile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  const auto at =
      values.begin() + static_cast<std::ptrdiff_t>(share * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

bool is_grey(const Model& model) {
  std::size_t coloured = 0;
  for (const Point& point : model.points) {
    const auto [low, high] = std::minmax_element(point.rgb.begin(), point.rgb.end());
    if (*high - *low > 16) ++coloured;
  }
  return coloured * 20 < model.points.size();
}

/// How each point is drawn on both sides.
class Palette {
 public:
  Palette(const Model& model, const View& view) : grey_(is_grey(model)) {
    const Mat3 turn = rotation(view.q);
    std::vector<double> depths;
    depths.reserve(model.points.size());
    for (const Point& point : model.points) depths.push_back((turn * point.position + view.t).z);
    near_ = percentile(depths, 0.03);
    far_ = percentile(depths, 0.95);
    for (std::size_t i = 0; i < depths.size(); ++i)
      colours_.push_back(colour(model.points[i], depths[i]));
  }

  [[nodiscard]] bool grey() const { return grey_; }
  [[nodiscard]] Colour of(std::size_t index) const { return colours_[index]; }

 private:
  [[nodiscard]] Colour colour(const Point& point, double depth) const {
    const Colour own{.r = static_cast<double>(point.rgb[0]),
                     .g = static_cast<double>(point.rgb[1]),
                     .b = static_cast<double>(point.rgb[2])};
    if (!grey_) return mix(own, {.r = 255, .g = 255, .b = 255}, 0.12);
    return depth_colour((depth - near_) / std::max(far_ - near_, 1e-9));
  }

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

/// Turned aside and above, so that depth shows, and zoomed to hold cloud and cameras.
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
