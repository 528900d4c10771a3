#include "runners/sfm/filter.hpp"

#include "runners/sfm/colmap_model.hpp"
#include "runners/sfm/geometry.hpp"
#include "runners/sfm/kd_tree.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace pn::runners::sfm {
namespace {

/// Of a longer track this many views, evenly taken, decide the angle: all pairs of hundreds would
/// take longer than COLMAP.
constexpr std::size_t kViewsForAngle = 16;

void forget_observations(Model& model) {
  std::unordered_set<std::uint64_t> kept;
  kept.reserve(model.points.size());
  for (const Point& point : model.points) kept.insert(point.id);
  for (View& view : model.views) {
    for (Observation& observation : view.observations) {
      if (observation.point != kNoPoint && !kept.contains(observation.point)) {
        observation.point = kNoPoint;
      }
    }
  }
}

void drop_isolated(Model& model, const FilterLimits& limits) {
  if (model.points.size() <= limits.neighbours * 2) return;
  std::vector<Vec3> positions;
  positions.reserve(model.points.size());
  for (const Point& point : model.points) positions.push_back(point.position);
  const KdTree tree(std::move(positions));
  std::vector<double> isolation(model.points.size());
  for (std::size_t i = 0; i < isolation.size(); ++i) {
    isolation[i] = tree.mean_distance(i, limits.neighbours);
  }
  std::vector<double> sorted = isolation;
  const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2);
  std::nth_element(sorted.begin(), middle, sorted.end());
  const double limit = *middle * limits.max_isolation;
  std::size_t index = 0;
  std::erase_if(model.points, [&](const Point&) { return isolation[index++] > limit; });
}

}  // namespace

double widest_angle(const Vec3& point, const std::vector<Vec3>& views) {
  double smallest_cosine = 1;
  for (std::size_t a = 0; a < views.size(); ++a) {
    for (std::size_t b = a + 1; b < views.size(); ++b) {
      const double cosine = dot(unit(views[a] - point), unit(views[b] - point));
      smallest_cosine = std::min(smallest_cosine, cosine);
    }
  }
  return std::acos(std::clamp(smallest_cosine, -1.0, 1.0)) * 180 / std::numbers::pi;
}

FilterCounts filter(Model& model, const FilterLimits& limits) {
  FilterCounts counts;
  counts.before = model.points.size();
  std::unordered_map<std::uint32_t, Vec3> positions;
  for (const View& view : model.views) positions.emplace(view.id, view.position());
  std::vector<Vec3> seen_from;
  std::erase_if(model.points, [&](const Point& point) {
    if (!finite(point.position) || !(point.error_px <= limits.max_error_px) ||
        point.track.size() < limits.min_track) {
      return true;
    }
    seen_from.clear();
    const std::size_t step = (point.track.size() + kViewsForAngle - 1) / kViewsForAngle;
    for (std::size_t i = 0; i < point.track.size(); i += step) {
      seen_from.push_back(positions.at(point.track[i].view));
    }
    return widest_angle(point.position, seen_from) < limits.min_angle_degrees;
  });
  counts.badly_seen = counts.before - model.points.size();
  drop_isolated(model, limits);
  counts.isolated = counts.before - counts.badly_seen - model.points.size();
  forget_observations(model);
  return counts;
}

}  // namespace pn::runners::sfm
