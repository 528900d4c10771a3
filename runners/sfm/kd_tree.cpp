#include "runners/sfm/kd_tree.hpp"

#include "runners/sfm/geometry.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <utility>
#include <vector>

namespace pn::runners::sfm {
namespace {

double along(Vec3 v, int axis) { return axis == 0 ? v.x : axis == 1 ? v.y : v.z; }

}  // namespace

/// The nearest so far, squared, as a heap with the farthest on top.
struct KdTree::Search {
  Vec3 at;
  std::size_t self;
  std::size_t wanted;
  std::vector<double> nearest;

  [[nodiscard]] bool full() const { return nearest.size() == wanted; }
  void offer(double squared) {
    if (full()) {
      if (squared >= nearest.front()) return;
      std::pop_heap(nearest.begin(), nearest.end());
      nearest.pop_back();
    }
    nearest.push_back(squared);
    std::push_heap(nearest.begin(), nearest.end());
  }
};

KdTree::KdTree(std::vector<Vec3> points) : points_(std::move(points)), order_(points_.size()) {
  std::iota(order_.begin(), order_.end(), std::size_t{0});
  build(0, order_.size(), 0);
}

void KdTree::build(std::size_t begin, std::size_t end, int axis) {
  if (end - begin < 2) return;
  const std::size_t middle = begin + (end - begin) / 2;
  const auto at = [this](std::size_t i) { return order_.begin() + static_cast<std::ptrdiff_t>(i); };
  std::nth_element(at(begin), at(middle), at(end), [&](std::size_t a, std::size_t b) {
    return along(points_[a], axis) < along(points_[b], axis);
  });
  build(begin, middle, (axis + 1) % 3);
  build(middle + 1, end, (axis + 1) % 3);
}

void KdTree::search(Search& search, std::size_t begin, std::size_t end, int axis) const {
  if (begin == end) return;
  const std::size_t middle = begin + (end - begin) / 2;
  const std::size_t index = order_[middle];
  const Vec3 apart = points_[index] - search.at;
  if (index != search.self) search.offer(dot(apart, apart));
  const double side = along(apart, axis);
  const int next = (axis + 1) % 3;
  const bool left_first = side > 0;
  if (left_first)
    this->search(search, begin, middle, next);
  else
    this->search(search, middle + 1, end, next);
  if (search.full() && side * side >= search.nearest.front()) return;
  if (left_first)
    this->search(search, middle + 1, end, next);
  else
    this->search(search, begin, middle, next);
}

double KdTree::mean_distance(std::size_t self, std::size_t count) const {
  Search found{.at = points_[self], .self = self, .wanted = count, .nearest = {}};
  found.nearest.reserve(count);
  if (count > 0) search(found, 0, order_.size(), 0);
  if (found.nearest.empty()) return 0;
  double sum = 0;
  for (const double squared : found.nearest) sum += std::sqrt(squared);
  return sum / static_cast<double>(found.nearest.size());
}

}  // namespace pn::runners::sfm
