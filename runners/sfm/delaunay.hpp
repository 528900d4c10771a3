#pragma once

#include <array>
#include <cstddef>
#include <vector>

namespace pn::runners::sfm {

struct Place {
  double x = 0;
  double y = 0;
};

/// Delaunay triangulation of points in the plane, as indices. Points that lie on one another are
/// joined. Quadratic: for a few thousand points.
std::vector<std::array<std::size_t, 3>> triangulate(const std::vector<Place>& places);

}  // namespace pn::runners::sfm
