#pragma once

#include "base/result.hpp"
#include "runners/sfm/colmap_model.hpp"

#include <string>

namespace pn::runners::sfm {

/// Binary little endian PLY: float x y z, uchar red green blue.
std::string to_ply(const Model& model);

/// Draco point cloud: positions quantised to 13 bits of the cloud's extent, colours exact. Kind
/// `internal`, code "draco_failed".
Result<std::string> to_draco(const Model& model);

/// The camera poses, world_from_camera (cameras.json).
std::string to_cameras_json(const Model& model);

}  // namespace pn::runners::sfm
