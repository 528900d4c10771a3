#include "runners/sfm/colmap_model.hpp"
#include "runners/sfm/export.hpp"

#include <array>
#include <cstring>
#include <string>

namespace pn::runners::sfm {

std::string to_ply(const Model& model) {
  std::string out =
      "ply\nformat binary_little_endian 1.0\nelement vertex " +
      std::to_string(model.points.size()) +
      "\nproperty float x\nproperty float y\nproperty float z\nproperty uchar red\nproperty uchar "
      "green\nproperty uchar blue\nend_header\n";
  out.reserve(out.size() + model.points.size() * 15);
  for (const Point& point : model.points) {
    const std::array<float, 3> position{static_cast<float>(point.position.x),
                                        static_cast<float>(point.position.y),
                                        static_cast<float>(point.position.z)};
    out.append(reinterpret_cast<const char*>(position.data()), sizeof position);
    out.append(reinterpret_cast<const char*>(point.rgb.data()), point.rgb.size());
  }
  return out;
}

}  // namespace pn::runners::sfm
