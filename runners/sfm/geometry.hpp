#pragma once

#include <array>
#include <cmath>

namespace pn::runners::sfm {

// NOLINTBEGIN(modernize-use-designated-initializers): vectors are written as such, x, y, z

/// A point or direction. OpenCV axes in a camera: x right, y down, z forward.
struct Vec3 {
  double x = 0;
  double y = 0;
  double z = 0;

  friend Vec3 operator+(Vec3 a, Vec3 b) { return {a.x + b.x, a.y + b.y, a.z + b.z}; }
  friend Vec3 operator-(Vec3 a, Vec3 b) { return {a.x - b.x, a.y - b.y, a.z - b.z}; }
  friend Vec3 operator*(Vec3 a, double s) { return {a.x * s, a.y * s, a.z * s}; }
  friend bool operator==(const Vec3&, const Vec3&) = default;
};

inline double dot(Vec3 a, Vec3 b) { return a.x * b.x + a.y * b.y + a.z * b.z; }
inline Vec3 cross(Vec3 a, Vec3 b) {
  return {a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x};
}
inline double length(Vec3 a) { return std::sqrt(dot(a, a)); }
inline bool finite(Vec3 a) {
  return std::isfinite(a.x) && std::isfinite(a.y) && std::isfinite(a.z);
}
/// `fallback` for a vector without a direction.
inline Vec3 unit(Vec3 a, Vec3 fallback = {0, 0, 1}) {
  const double size = length(a);
  return size > 1e-12 ? a * (1 / size) : fallback;
}

/// Rows of a rotation: camera axes in world coordinates when it maps world to camera.
struct Mat3 {
  std::array<Vec3, 3> rows{};

  friend Vec3 operator*(const Mat3& m, Vec3 v) {
    return {dot(m.rows[0], v), dot(m.rows[1], v), dot(m.rows[2], v)};
  }
};

inline Vec3 times_transposed(const Mat3& m, Vec3 v) {
  return m.rows[0] * v.x + m.rows[1] * v.y + m.rows[2] * v.z;
}

/// A unit quaternion in COLMAP's order.
struct Quaternion {
  double w = 1;
  double x = 0;
  double y = 0;
  double z = 0;
};

inline Mat3 rotation(Quaternion q) {
  const double n = std::sqrt(q.w * q.w + q.x * q.x + q.y * q.y + q.z * q.z);
  if (n > 0) q = {q.w / n, q.x / n, q.y / n, q.z / n};
  return {{Vec3{1 - 2 * (q.y * q.y + q.z * q.z),
                2 * (q.x * q.y - q.w * q.z),
                2 * (q.x * q.z + q.w * q.y)},
           Vec3{2 * (q.x * q.y + q.w * q.z),
                1 - 2 * (q.x * q.x + q.z * q.z),
                2 * (q.y * q.z - q.w * q.x)},
           Vec3{2 * (q.x * q.z - q.w * q.y),
                2 * (q.y * q.z + q.w * q.x),
                1 - 2 * (q.x * q.x + q.y * q.y)}}};
}

// NOLINTEND(modernize-use-designated-initializers)

}  // namespace pn::runners::sfm
