#pragma once

#include "runners/sfm/geometry.hpp"

#include <cstddef>
#include <vector>

namespace pn::runners::sfm {

/// Nearest neighbours among points that do not change. Balanced, in one array: no node is
/// allocated.
class KdTree final {
 public:
  explicit KdTree(std::vector<Vec3> points);

  /// Mean distance from the point with index `self` to the `count` others nearest to it; zero when
  /// there are no others.
  [[nodiscard]] double mean_distance(std::size_t self, std::size_t count) const;

 private:
  struct Search;
  void build(std::size_t begin, std::size_t end, int axis);
  void search(Search& search, std::size_t begin, std::size_t end, int axis) const;

  std::vector<Vec3> points_;        ///< as given
  std::vector<std::size_t> order_;  ///< the middle of each range splits it
};

}  // namespace pn::runners::sfm
