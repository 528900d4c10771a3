#include "base/json.hpp"
#include "runners/sfm/camera_models.hpp"
#include "runners/sfm/colmap_model.hpp"
#include "runners/sfm/export.hpp"
#include "runners/sfm/geometry.hpp"
#include "runners/sfm/report.hpp"

#include <cmath>
#include <cstddef>
#include <string>
#include <utility>

#include <nlohmann/json.hpp>

namespace pn::runners::sfm {
namespace {

Json intrinsics_json(const Camera& camera) {
  return {{"model", kCameraModels.at(static_cast<std::size_t>(camera.model)).name},
          {"params", camera.params},
          {"width", camera.width},
          {"height", camera.height}};
}

/// Three decimals are a millisecond, and a thousandth of a pixel.
double rounded(double value) { return std::round(value * 1000) / 1000; }

}  // namespace

std::string to_cameras_json(const Model& model) {
  Json cameras = Json::array();
  for (const View& view : model.views) {
    const Vec3 position = view.position();
    // The pose takes world to camera; its inverse's rotation is the conjugate.
    Json each = {{"name", view.name},
                 {"position", {position.x, position.y, position.z}},
                 {"rotation_xyzw", {-view.q.x, -view.q.y, -view.q.z, view.q.w}}};
    if (const Camera* camera = model.camera(view.camera)) {
      each["intrinsics"] = intrinsics_json(*camera);
    }
    cameras.push_back(std::move(each));
  }
  const Json out = {
      {"convention",
       "world_from_camera, OpenCV axes (x right, y down, z forward), arbitrary scale"},
      {"cameras", std::move(cameras)}};
  return dump_json(out);
}

std::string to_report_json(const Report& report, const Model* model) {
  Json intrinsics = nullptr;
  if (model != nullptr && !model->cameras.empty()) {
    intrinsics = intrinsics_json(model->cameras.front());
    intrinsics["refined"] = report.intrinsics_refined;
  }
  const StageSeconds& seconds = report.seconds;
  const Json out = {
      {"photos", report.photos},
      {"registered", model != nullptr ? model->views.size() : 0},
      {"points", model != nullptr ? model->points.size() : 0},
      {"mean_error_px", model != nullptr ? rounded(model->mean_error_px()) : 0},
      {"mean_track_length", model != nullptr ? rounded(model->mean_track_length()) : 0},
      {"intrinsics", std::move(intrinsics)},
      {"profile", report.profile},
      {"attempts", report.attempts},
      {"seconds",
       {{"features", rounded(seconds.features)},
        {"matches", rounded(seconds.matches)},
        {"mapping", rounded(seconds.mapping)},
        {"filter", rounded(seconds.filter)},
        {"export", rounded(seconds.artifacts)},
        {"colmap", rounded(seconds.colmap)},
        {"total", rounded(seconds.total)}}},
      {"not_registered", report.not_registered},
      {"warnings", report.warnings}};
  return out.dump(2, ' ', false, Json::error_handler_t::replace);
}

}  // namespace pn::runners::sfm
