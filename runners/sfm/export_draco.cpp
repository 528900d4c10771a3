#include "base/result.hpp"
#include "runners/sfm/colmap_model.hpp"
#include "runners/sfm/export.hpp"

#include <array>
#include <memory>
#include <string>

#include <draco/compression/encode.h>
#include <draco/point_cloud/point_cloud_builder.h>

namespace pn::runners::sfm {

Result<std::string> to_draco(const Model& model) {
  // Its encoder reads past the end of an empty cloud.
  if (model.points.empty()) {
    return Error(ErrorKind::internal, "draco_failed", "there are no points for Draco to encode");
  }
  draco::PointCloudBuilder builder;
  builder.Start(static_cast<draco::PointIndex::ValueType>(model.points.size()));
  const int positions =
      builder.AddAttribute(draco::GeometryAttribute::POSITION, 3, draco::DT_FLOAT32);
  const int colours = builder.AddAttribute(draco::GeometryAttribute::COLOR, 3, draco::DT_UINT8);
  draco::PointIndex index(0);
  for (const Point& point : model.points) {
    const std::array<float, 3> position{static_cast<float>(point.position.x),
                                        static_cast<float>(point.position.y),
                                        static_cast<float>(point.position.z)};
    builder.SetAttributeValueForPoint(positions, index, position.data());
    builder.SetAttributeValueForPoint(colours, index, point.rgb.data());
    ++index;
  }
  const std::unique_ptr<draco::PointCloud> cloud = builder.Finalize(/*deduplicate_points=*/false);
  draco::Encoder encoder;
  encoder.SetSpeedOptions(3, 3);  // draco_encoder's own default level
  encoder.SetAttributeQuantization(draco::GeometryAttribute::POSITION, 13);
  draco::EncoderBuffer buffer;
  if (!cloud) return Error(ErrorKind::internal, "draco_failed", "Draco refused the points");
  const draco::Status status = encoder.EncodePointCloudToBuffer(*cloud, &buffer);
  if (!status.ok()) {
    return Error(ErrorKind::internal,
                 "draco_failed",
                 "cannot encode the cloud with Draco: " + status.error_msg_string());
  }
  return std::string(buffer.data(), buffer.size());
}

}  // namespace pn::runners::sfm
