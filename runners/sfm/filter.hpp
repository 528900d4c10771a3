#pragma once

#include "runners/sfm/colmap_model.hpp"

#include <cstddef>

namespace pn::runners::sfm {

struct FilterLimits {
  double max_error_px = 4.0;
  std::size_t min_track = 2;
  double min_angle_degrees = 1.5;
  /// A point whose mean distance to its neighbours is larger than this many times the median of all
  /// is an outlier. The median, not mean and deviation: in a sparse cloud a few points near the
  /// horizon would decide those alone.
  double max_isolation = 12.0;
  std::size_t neighbours = 12;
};

struct FilterCounts {
  std::size_t before = 0;
  std::size_t badly_seen = 0;  ///< error, track or angle
  std::size_t isolated = 0;
};

/// Drops points that cannot be trusted, and their observations from the views.
FilterCounts filter(Model& model, const FilterLimits& limits);

/// The largest angle, in degrees, under which two views of its track see the point.
double widest_angle(const Vec3& point, const std::vector<Vec3>& views);

}  // namespace pn::runners::sfm
