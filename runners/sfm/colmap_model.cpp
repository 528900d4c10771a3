#include "runners/sfm/colmap_model.hpp"

#include "base/file.hpp"
#include "base/result.hpp"
#include "runners/sfm/camera_models.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <utility>

namespace pn::runners::sfm {
namespace {

static_assert(std::endian::native == std::endian::little, "COLMAP's files are little endian");

constexpr std::uint64_t kMaxModelFile = std::uint64_t{8} << 30;

class Reader {
 public:
  Reader(std::string_view name, std::string_view bytes) : name_(name), bytes_(bytes) {}

  template <class T>
  T take() {
    static_assert(std::is_trivially_copyable_v<T>);
    T value{};
    if (bytes_.size() < sizeof value) {
      short_ = true;
      bytes_ = {};
      return value;
    }
    std::copy_n(bytes_.begin(), sizeof value, reinterpret_cast<char*>(&value));
    bytes_.remove_prefix(sizeof value);
    return value;
  }

  /// A count of things that take at least `least` bytes each: never more than there can be.
  std::size_t count(std::size_t least) {
    const auto value = take<std::uint64_t>();
    if (value > bytes_.size() / least) {
      short_ = true;
      return 0;
    }
    return static_cast<std::size_t>(value);
  }

  std::string text() {
    const std::size_t end = bytes_.find('\0');
    if (end == std::string_view::npos) {
      short_ = true;
      return {};
    }
    std::string out(bytes_.substr(0, end));
    bytes_.remove_prefix(end + 1);
    return out;
  }

  void fault(std::string_view what) {
    // COLMAP's own file, on our own disk: nothing the submitter could do about.
    if (!error_) error_.emplace(ErrorKind::internal, "bad_model", text_of(what));
  }
  [[nodiscard]] bool failed() const { return short_ || error_.has_value(); }
  [[nodiscard]] Result<void> done() {
    if (short_)
      fault("ends too early");
    else if (!bytes_.empty())
      fault("has bytes after its end");
    if (error_) return *error_;
    return {};
  }

 private:
  [[nodiscard]] std::string text_of(std::string_view what) const {
    return "COLMAP's " + std::string(name_) + " " + std::string(what);
  }

  std::string_view name_;
  std::string_view bytes_;
  bool short_ = false;
  std::optional<Error> error_;
};

Result<void> read_cameras(const std::string& bytes, Model& out) {
  Reader in("cameras.bin", bytes);
  for (std::size_t left = in.count(24); left > 0 && !in.failed(); --left) {
    Camera camera;
    camera.id = in.take<std::uint32_t>();
    camera.model = in.take<std::int32_t>();
    camera.width = in.take<std::uint64_t>();
    camera.height = in.take<std::uint64_t>();
    if (camera.model < 0 || static_cast<std::size_t>(camera.model) >= kCameraModels.size()) {
      in.fault("has a camera of an unknown model");
      break;
    }
    const CameraModel& model = kCameraModels.at(static_cast<std::size_t>(camera.model));
    for (std::size_t i = 0; i < model.parameters; ++i) camera.params.push_back(in.take<double>());
    out.cameras.push_back(std::move(camera));
  }
  return in.done();
}

Result<void> read_views(const std::string& bytes, Model& out) {
  Reader in("images.bin", bytes);
  for (std::size_t left = in.count(73); left > 0 && !in.failed(); --left) {
    View view;
    view.id = in.take<std::uint32_t>();
    view.q = in.take<Quaternion>();
    view.t = in.take<Vec3>();
    view.camera = in.take<std::uint32_t>();
    view.name = in.text();
    view.observations.resize(in.count(24));
    for (Observation& observation : view.observations) observation = in.take<Observation>();
    if (!in.failed() && out.camera(view.camera) == nullptr) in.fault("has a view without a camera");
    out.views.push_back(std::move(view));
  }
  return in.done();
}

Result<void> read_points(const std::string& bytes, Model& out) {
  std::unordered_map<std::uint32_t, std::size_t> sizes;
  for (const View& view : out.views) sizes.emplace(view.id, view.observations.size());
  Reader in("points3D.bin", bytes);
  std::size_t left = in.count(51);
  out.points.reserve(left);
  for (; left > 0 && !in.failed(); --left) {
    Point point;
    point.id = in.take<std::uint64_t>();
    point.position = in.take<Vec3>();
    point.rgb = in.take<std::array<std::uint8_t, 3>>();
    point.error_px = in.take<double>();
    point.track.resize(in.count(8));
    for (TrackElement& element : point.track) {
      element = in.take<TrackElement>();
      const auto at = sizes.find(element.view);
      if (!in.failed() && (at == sizes.end() || element.observation >= at->second)) {
        in.fault("has a point seen from where there is no view");
      }
    }
    out.points.push_back(std::move(point));
  }
  return in.done();
}

template <class T>
void put(std::string& out, const T& value) {
  static_assert(std::is_trivially_copyable_v<T>);
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void put_count(std::string& out, std::size_t count) { put(out, std::uint64_t{count}); }

}  // namespace

static_assert(sizeof(Quaternion) == 32 && sizeof(Vec3) == 24 && sizeof(Observation) == 24 &&
              sizeof(TrackElement) == 8);

double Camera::focal_y() const {
  return params.at(kCameraModels.at(static_cast<std::size_t>(model)).two_focal_lengths ? 1 : 0);
}
double Camera::centre_x() const {
  return params.at(kCameraModels.at(static_cast<std::size_t>(model)).two_focal_lengths ? 2 : 1);
}
double Camera::centre_y() const {
  return params.at(kCameraModels.at(static_cast<std::size_t>(model)).two_focal_lengths ? 3 : 2);
}

const Camera* Model::camera(std::uint32_t id) const {
  for (const Camera& camera : cameras) {
    if (camera.id == id) return &camera;
  }
  return nullptr;
}

double Model::mean_error_px() const {
  if (points.empty()) return 0;
  double sum = 0;
  for (const Point& point : points) sum += point.error_px;
  return sum / static_cast<double>(points.size());
}

double Model::mean_track_length() const {
  if (points.empty()) return 0;
  std::size_t sum = 0;
  for (const Point& point : points) sum += point.track.size();
  return static_cast<double>(sum) / static_cast<double>(points.size());
}

Result<Model> parse_model(const ModelFiles& files) {
  Model out;
  Result<void> read = read_cameras(files.cameras, out);
  if (read) read = read_views(files.images, out);
  if (read) read = read_points(files.points, out);
  if (!read) return std::move(read).error();
  std::sort(out.views.begin(), out.views.end(), [](const View& a, const View& b) {
    return a.name < b.name;
  });
  return out;
}

ModelFiles serialise(const Model& model) {
  ModelFiles out;
  put_count(out.cameras, model.cameras.size());
  for (const Camera& camera : model.cameras) {
    put(out.cameras, camera.id);
    put(out.cameras, std::int32_t{camera.model});
    put(out.cameras, camera.width);
    put(out.cameras, camera.height);
    for (const double value : camera.params) put(out.cameras, value);
  }
  put_count(out.images, model.views.size());
  for (const View& view : model.views) {
    put(out.images, view.id);
    put(out.images, view.q);
    put(out.images, view.t);
    put(out.images, view.camera);
    out.images.append(view.name.c_str(), view.name.size() + 1);
    put_count(out.images, view.observations.size());
    for (const Observation& observation : view.observations) put(out.images, observation);
  }
  put_count(out.points, model.points.size());
  for (const Point& point : model.points) {
    put(out.points, point.id);
    put(out.points, point.position);
    put(out.points, point.rgb);
    put(out.points, point.error_px);
    put_count(out.points, point.track.size());
    for (const TrackElement& element : point.track) put(out.points, element);
  }
  return out;
}

Result<Model> read_model(const std::filesystem::path& folder) {
  ModelFiles files;
  for (auto [name, bytes] : {std::pair{"cameras.bin", &files.cameras},
                             std::pair{"images.bin", &files.images},
                             std::pair{"points3D.bin", &files.points}}) {
    Result<std::string> read = read_file(folder / name, kMaxModelFile);
    if (!read && read.error().kind == ErrorKind::rejected) {
      return Error(ErrorKind::internal, "bad_model", read.error().detail);
    }
    if (!read) return std::move(read).error();
    *bytes = std::move(read).value();
  }
  return parse_model(files);
}

}  // namespace pn::runners::sfm
