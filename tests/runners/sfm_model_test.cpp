#include "base/json.hpp"
#include "base/result.hpp"
#include "runners/sfm/colmap_model.hpp"
#include "runners/sfm/delaunay.hpp"
#include "runners/sfm/export.hpp"
#include "runners/sfm/filter.hpp"
#include "runners/sfm/geometry.hpp"
#include "runners/sfm/image_io.hpp"
#include "runners/sfm/kd_tree.hpp"
#include "runners/sfm/preview.hpp"
#include "runners/sfm/report.hpp"
#include "tests/runners/sfm_support.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <set>
#include <vector>

#include <catch2/catch.hpp>
#include <draco/compression/decode.h>
#include <nlohmann/json.hpp>

namespace pn::runners::sfm {
namespace {

bool same(const ModelFiles& a, const ModelFiles& b) {
  return a.cameras == b.cameras && a.images == b.images && a.points == b.points;
}

}  // namespace

TEST_CASE("model: what is written is read again", "[runners][sfm]") {
  const Model model = make_model(3, 20);
  const ModelFiles files = serialise(model);
  const Result<Model> read = parse_model(files);
  REQUIRE(read);
  CHECK(read->views.size() == 3);
  CHECK(read->points.size() == 20);
  CHECK(read->views[1].name == "photo1.pgm");
  CHECK(read->mean_error_px() == Approx(0.5));
  CHECK(read->mean_track_length() == Approx(3));
  CHECK(same(serialise(*read), files));
}

TEST_CASE("model: cut anywhere, it is an error and nothing worse", "[runners][sfm]") {
  const ModelFiles files = serialise(make_model(2, 3));
  for (const auto part : {&ModelFiles::cameras, &ModelFiles::images, &ModelFiles::points}) {
    for (std::size_t length = 0; length < (files.*part).size(); ++length) {
      ModelFiles cut = files;
      (cut.*part).resize(length);
      const Result<Model> read = parse_model(cut);
      REQUIRE_FALSE(read);
      CHECK(read.error().code == "bad_model");
      CHECK(read.error().kind == ErrorKind::internal);  // COLMAP's file is not the submitter's
    }
    ModelFiles longer = files;
    longer.*part += "x";
    CHECK_FALSE(parse_model(longer));
  }
}

TEST_CASE("model: counts and references are checked", "[runners][sfm]") {
  ModelFiles files = serialise(make_model(2, 3));
  SECTION("a count of everything") { files.points.replace(0, 8, 8, '\xff'); }
  SECTION("an unknown camera model") { files.cameras[12] = 99; }
  SECTION("a view of no camera") { files.images[8 + 4 + 56] = 9; }
  SECTION("a point seen by no view") { files.points[8 + 8 + 24 + 3 + 8 + 8] = 9; }
  CHECK_FALSE(parse_model(files));
}

TEST_CASE("filter: drops what cannot be trusted, and its observations", "[runners][sfm]") {
  Model model = make_model(5, 200);
  model.points[10].error_px = 9;
  model.points[11].position = {0, 0, 500};  // nearly no angle
  model.points[12].track.resize(1);
  model.points[13].position.x = std::numeric_limits<double>::quiet_NaN();
  model.points[14].position = {0, 30, 4};  // far from all others, well seen
  const FilterCounts counts = filter(model, {});
  CHECK(counts.before == 200);
  CHECK(counts.badly_seen == 4);
  CHECK(counts.isolated == 1);
  CHECK(model.points.size() == 195);
  for (const View& view : model.views) {
    CHECK(view.observations[10].point == kNoPoint);
    CHECK(view.observations[14].point == kNoPoint);
    CHECK(view.observations[15].point == 16);
  }
  CHECK(parse_model(serialise(model)));
}

TEST_CASE("filter: angles", "[runners][sfm]") {
  CHECK(widest_angle({0, 0, 0}, {{1, 0, 0}, {0, 1, 0}}) == Approx(90));
  CHECK(widest_angle({0, 0, 0}, {{1, 0, 0}}) == Approx(0));
  CHECK(widest_angle({0, 0, 0}, {}) == Approx(0));
}

TEST_CASE("kd-tree: agrees with looking at all of them", "[runners][sfm]") {
  std::vector<Vec3> points;
  for (int i = 0; i < 300; ++i) {
    points.push_back(
        {std::fmod(i * 0.37, 1.0), std::fmod(i * 0.73, 1.0), std::fmod(i * 0.11, 1.0)});
  }
  const KdTree tree(points);
  for (std::size_t self = 0; self < points.size(); self += 7) {
    std::vector<double> all;
    for (std::size_t i = 0; i < points.size(); ++i) {
      if (i != self) all.push_back(length(points[i] - points[self]));
    }
    std::sort(all.begin(), all.end());
    double sum = 0;
    for (std::size_t i = 0; i < 6; ++i) sum += all[i];
    CHECK(tree.mean_distance(self, 6) == Approx(sum / 6));
  }
  CHECK(KdTree({{1, 2, 3}}).mean_distance(0, 5) == 0);
}

TEST_CASE("delaunay: a square, and circles without points", "[runners][sfm]") {
  CHECK(triangulate({{0, 0}, {1, 0}, {0, 1}, {1.1, 1}}).size() == 2);
  CHECK(triangulate({{0, 0}, {1, 0}}).empty());
  CHECK(triangulate({{0, 0}, {0, 0}, {1, 1}, {1, 1}}).empty());
  std::vector<Place> places;
  for (int i = 0; i < 60; ++i) {
    places.push_back({std::fmod(i * 37.7, 100.0), std::fmod(i * 61.3, 80.0)});
  }
  const auto triangles = triangulate(places);
  // Each point inside the hull gives two triangles: between n and 2n of them.
  CHECK(triangles.size() > places.size());
  CHECK(triangles.size() < 2 * places.size());
  std::set<std::size_t> used;
  for (const auto& corners : triangles) used.insert(corners.begin(), corners.end());
  CHECK(used.size() == places.size());
}

TEST_CASE("export: PLY", "[runners][sfm]") {
  const Model model = make_model(2, 5);
  const std::string ply = to_ply(model);
  CHECK_THAT(ply, Catch::StartsWith("ply\nformat binary_little_endian 1.0\nelement vertex 5\n"));
  const std::size_t body = ply.find("end_header\n") + 11;
  CHECK(ply.size() - body == 5 * 15);
  CHECK(ply[body + 12 + 1] == 90);
}

TEST_CASE("export: Draco decodes to the cloud", "[runners][sfm]") {
  const Model model = make_model(2, 500);
  const Result<std::string> bytes = to_draco(model);
  REQUIRE(bytes);
  CHECK(bytes->size() < to_ply(model).size() / 2);
  draco::DecoderBuffer buffer;
  buffer.Init(bytes->data(), bytes->size());
  draco::Decoder decoder;
  auto cloud = decoder.DecodePointCloudFromBuffer(&buffer);
  REQUIRE(cloud.ok());
  const draco::PointCloud& decoded = *cloud.value();
  CHECK(decoded.num_points() == 500);
  // The order is Draco's own; the extent stays within its 13 bits.
  double low = 1e9;
  double high = -1e9;
  const draco::PointAttribute* positions =
      decoded.GetNamedAttribute(draco::GeometryAttribute::POSITION);
  for (draco::PointIndex i(0); i < decoded.num_points(); ++i) {
    std::array<float, 3> value{};
    positions->GetMappedValue(i, value.data());
    low = std::min(low, static_cast<double>(value[0]));
    high = std::max(high, static_cast<double>(value[0]));
  }
  CHECK(low == Approx(-1).margin(0.01));
  CHECK(high == Approx(1).margin(0.01));
  CHECK_FALSE(to_draco(Model()));
  CHECK(to_draco(make_model(1, 1)));
}

TEST_CASE("export: cameras.json tells where the cameras are", "[runners][sfm]") {
  const Model model = make_model(3, 5);
  const Result<Json> json = parse_json(to_cameras_json(model));
  REQUIRE(json);
  const Json& first = (*json)["cameras"][0];
  CHECK(first["name"] == "photo0.pgm");
  CHECK(first["intrinsics"]["model"] == "PINHOLE");
  CHECK(first["intrinsics"]["width"] == 640);
  // Through the pose as written, the camera's own origin and axis meet the wall.
  const auto number = [&](const char* key, std::size_t i) { return first[key][i].get<double>(); };
  const Mat3 world_from_camera = rotation({number("rotation_xyzw", 3),
                                           number("rotation_xyzw", 0),
                                           number("rotation_xyzw", 1),
                                           number("rotation_xyzw", 2)});
  const Vec3 position{number("position", 0), number("position", 1), number("position", 2)};
  const Vec3 ahead = position + (world_from_camera * Vec3{0, 0, 4});
  CHECK(length(ahead - Vec3{0, 0, 4}) < 1e-9);
}

TEST_CASE("export: report.json, with and without a model", "[runners][sfm]") {
  Report report;
  report.photos = 4;
  report.profile = "fast";
  report.attempts = 2;
  report.not_registered = {"x.jpg"};
  const Model model = make_model(3, 5);
  const Json with = *parse_json(to_report_json(report, &model));
  CHECK(with["registered"] == 3);
  CHECK(with["points"] == 5);
  CHECK(with["mean_error_px"] == 0.5);
  CHECK(with["intrinsics"]["refined"] == true);
  CHECK(with["seconds"].size() == 7);
  const Json without = *parse_json(to_report_json(report, nullptr));
  CHECK(without["registered"] == 0);
  CHECK(without["intrinsics"].is_null());
  CHECK(without["not_registered"][0] == "x.jpg");
}

TEST_CASE("preview: shows the photo, the points and the cameras", "[runners][sfm]") {
  Model model = make_model(7, 400);
  for (Point& point : model.points) point.rgb = {80, 80, 80};  // grey: coloured by depth
  const View* view = choose_view(model);
  REQUIRE(view != nullptr);
  const Image photo(640, 480);
  const Image preview = draw_preview(model, *view, photo, "7 of 7 photos \xc2\xb7 400 points");
  CHECK((preview.width == 1280 && preview.height == 720));
  std::size_t colourful = 0;  // points
  std::size_t white = 0;      // caption and cameras
  for (std::size_t i = 0; i < preview.pixels.size(); i += 3) {
    const auto [low, high] =
        std::minmax({preview.pixels[i], preview.pixels[i + 1], preview.pixels[i + 2]});
    if (high - low > 80) ++colourful;
    if (low > 200) ++white;
  }
  CHECK(colourful > 3000);
  CHECK(white > 1000);
}

TEST_CASE("preview: draws whatever model there is", "[runners][sfm]") {
  Model model = make_model(2, 30);
  SECTION("one view") { model.views.resize(1); }
  SECTION("no points") { model.points.clear(); }
  SECTION("all points in one place") {
    for (Point& point : model.points) point.position = {0, 0, 4};
  }
  SECTION("a point at infinity") { model.points[3].position = {1e300, 0, 1e300}; }
  SECTION("a point behind the camera") { model.points[3].position = {0, 0, -100}; }
  SECTION("all cameras in one place") { model.views[1].t = model.views[0].t; }
  SECTION("a portrait photo") {
    const Image preview = draw_preview(model, model.views[0], Image(300, 900), "x");
    CHECK(preview.width == 1280);
  }
  const Image preview = draw_preview(model, model.views[0], Image(64, 48), "x");
  CHECK(preview.width == 1280);
  CHECK(choose_view(Model()) == nullptr);
}

}  // namespace pn::runners::sfm
