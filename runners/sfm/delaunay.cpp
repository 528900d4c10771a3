#include "runners/sfm/delaunay.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <utility>
#include <vector>

namespace pn::runners::sfm {
namespace {

struct Triangle {
  std::array<std::size_t, 3> corners;
  double x = 0;  ///< of the circumscribed circle
  double y = 0;
  double radius_squared = 0;
};

Triangle make_triangle(const std::vector<Place>& places,
                       std::size_t a,
                       std::size_t b,
                       std::size_t c) {
  const Place& pa = places[a];
  const double bx = places[b].x - pa.x;
  const double by = places[b].y - pa.y;
  const double cx = places[c].x - pa.x;
  const double cy = places[c].y - pa.y;
  const double d = 2 * (bx * cy - by * cx);
  const double b2 = bx * bx + by * by;
  const double c2 = cx * cx + cy * cy;
  const double ux = (cy * b2 - by * c2) / d;
  const double uy = (bx * c2 - cx * b2) / d;
  return {
      .corners = {a, b, c}, .x = pa.x + ux, .y = pa.y + uy, .radius_squared = ux * ux + uy * uy};
}

/// By x, each place once.
std::vector<std::size_t> sweep_order(const std::vector<Place>& places) {
  std::vector<std::size_t> order(places.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return std::pair(places[a].x, places[a].y) < std::pair(places[b].x, places[b].y);
  });
  const auto same = [&](std::size_t a, std::size_t b) {
    return std::abs(places[a].x - places[b].x) < 1e-6 && std::abs(places[a].y - places[b].y) < 1e-6;
  };
  order.erase(std::unique(order.begin(), order.end(), same), order.end());
  return order;
}

using Edge = std::pair<std::size_t, std::size_t>;

/// Moves out of `open` what `place` ends: triangles that the sweep has passed are final, those
/// whose circle it lies in leave their edges.
void close_at(const Place& place,
              std::vector<Triangle>& open,
              std::vector<Triangle>& closed,
              std::vector<Edge>& edges) {
  for (std::size_t i = 0; i < open.size();) {
    const Triangle& triangle = open[i];
    const double dx = place.x - triangle.x;
    const double dy = place.y - triangle.y;
    const bool passed = dx > 0 && dx * dx > triangle.radius_squared;
    const bool hit = dx * dx + dy * dy <= triangle.radius_squared;
    if (!passed && !hit) {
      ++i;
      continue;
    }
    if (passed) {
      closed.push_back(triangle);
    } else {
      const auto [a, b, c] = triangle.corners;
      for (const auto& [from, to] : {std::pair(a, b), std::pair(b, c), std::pair(c, a)}) {
        edges.emplace_back(std::min(from, to), std::max(from, to));
      }
    }
    open[i] = open.back();
    open.pop_back();
  }
}

}  // namespace

std::vector<std::array<std::size_t, 3>> triangulate(const std::vector<Place>& places) {
  // Bowyer and Watson, swept by x: a triangle whose circle lies left of the sweep is final.
  const std::vector<std::size_t> order = sweep_order(places);
  if (order.size() < 3) return {};

  std::vector<Place> all = places;
  double size = 1;
  for (const Place& place : places) size = std::max({size, std::abs(place.x), std::abs(place.y)});
  const std::size_t first_outer = all.size();
  all.push_back({-20 * size, -10 * size});
  all.push_back({20 * size, -10 * size});
  all.push_back({0, 20 * size});

  std::vector<Triangle> open{make_triangle(all, first_outer, first_outer + 1, first_outer + 2)};
  std::vector<Triangle> closed;
  std::vector<Edge> edges;
  for (const std::size_t index : order) {
    edges.clear();
    close_at(all[index], open, closed, edges);
    // An edge of two removed triangles is inside the hole; the others are its rim.
    std::sort(edges.begin(), edges.end());
    for (std::size_t i = 0; i < edges.size(); ++i) {
      const bool twice =
          (i + 1 < edges.size() && edges[i] == edges[i + 1]) || (i > 0 && edges[i] == edges[i - 1]);
      if (twice) continue;
      const auto [a, b] = edges[i];
      const Triangle made = make_triangle(all, a, b, index);
      if (std::isfinite(made.radius_squared)) open.push_back(made);
    }
  }
  closed.insert(closed.end(), open.begin(), open.end());
  std::vector<std::array<std::size_t, 3>> out;
  for (const Triangle& triangle : closed) {
    const bool inner = std::all_of(triangle.corners.begin(),
                                   triangle.corners.end(),
                                   [&](auto corner) { return corner < first_outer; });
    if (inner) out.push_back(triangle.corners);
  }
  return out;
}

}  // namespace pn::runners::sfm
