#pragma once

#include "runners/sfm/colmap_model.hpp"

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <numbers>
#include <string>

namespace pn::runners::sfm {

/// A wall of points seen by cameras on an arc before it: poses, tracks and observations agree.
inline Model make_model(std::size_t views, std::size_t points) {
  Model model;
  model.cameras.push_back({1, 1, 640, 480, {600, 600, 320, 240}});
  for (std::size_t i = 0; i < points; ++i) {
    Point point;
    point.id = i + 1;
    const auto k = static_cast<double>(i);
    point.position = {
        std::fmod(k * 0.37, 2.0) - 1, std::fmod(k * 0.61, 1.6) - 0.8, 4 + 0.3 * std::sin(k)};
    point.rgb = {static_cast<std::uint8_t>(i), 90, 30};
    point.error_px = 0.5;
    model.points.push_back(point);
  }
  for (std::size_t i = 0; i < views; ++i) {
    View view;
    view.id = static_cast<std::uint32_t>(i + 1);
    view.camera = 1;
    view.name = "photo" + std::to_string(i) + ".pgm";
    const double angle =
        (static_cast<double>(i) - static_cast<double>(views) / 2) * 5 * std::numbers::pi / 180;
    view.q = {std::cos(angle / 2), 0, std::sin(angle / 2), 0};
    const Mat3 turn = rotation(view.q);
    const Vec3 centre = Vec3{0, 0, 4} + Vec3{4 * std::sin(angle), 0, -4 * std::cos(angle)};
    view.t = (turn * centre) * -1.0;
    for (Point& point : model.points) {
      const Vec3 seen = turn * point.position + view.t;
      point.track.push_back({view.id, static_cast<std::uint32_t>(view.observations.size())});
      view.observations.push_back(
          {320 + 600 * seen.x / seen.z, 240 + 600 * seen.y / seen.z, point.id});
    }
    model.views.push_back(view);
  }
  return model;
}

inline void write_bytes(const std::filesystem::path& path, const std::string& bytes) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << bytes;
}

inline void write_model(const std::filesystem::path& folder, const Model& model) {
  const ModelFiles files = serialise(model);
  write_bytes(folder / "cameras.bin", files.cameras);
  write_bytes(folder / "images.bin", files.images);
  write_bytes(folder / "points3D.bin", files.points);
}

/// A PGM with something in it.
inline std::string pgm(int width = 64, int height = 48, int seed = 0) {
  std::string out =
      "P5\n# a comment\n" + std::to_string(width) + " " + std::to_string(height) + "\n255\n";
  for (int i = 0; i < width * height; ++i) out += static_cast<char>((i * 7 + seed * 13) & 0xff);
  return out;
}

}  // namespace pn::runners::sfm
