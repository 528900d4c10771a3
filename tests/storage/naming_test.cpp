#include "storage/naming.hpp"

#include "base/digest.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "storage/ports.hpp"

#include <string>
#include <string_view>
#include <utility>

#include <catch2/catch.hpp>

namespace pn::storage {
namespace {

const char* const kTask = "123e4567-e89b-12d3-a456-426614174000";

ArtifactName named(ArtifactNames& names, std::string_view path, PutOptions options = {}) {
  Result<ArtifactName> name = names.name(path, options);
  INFO(path);
  REQUIRE(name.ok());
  return *std::move(name);
}

}  // namespace

TEST_CASE("naming: where a download goes", "[storage][naming]") {
  const auto [name, type, path] = GENERATE(table<std::string, const char*, const char*>({
      {"scan", "refined_scan_zip", "datasets/scan/scan.refined_scan_zip"},
      {"refined_scan_2024-05-06_07-08-09",
       "zip",
       "datasets/2024-05-06_07-08-09/refined_scan_2024-05-06_07-08-09.zip"},
      {"x2024-05-06-07-08-09y", "csv", "datasets/2024-05-06-07-08-09/x2024-05-06-07-08-09y.csv"},
      {"2024-05-06 07-08-09", "csv", "datasets/2024-05-06_07-08-09/2024-05-06_07-08-09.csv"},
      {"a.b", "c.d", "datasets/a_b/a_b.c_d"},
      {"../../etc", "pass/wd", "datasets/______etc/______etc.pass_wd"},
      {"", "", "datasets/part/part.part"},
      {"..", ".", "datasets/__/__._"},
      {"h\xc3\xa4user", "obj", "datasets/h_user/h_user.obj"},
  }));
  CHECK(download_path(name, type) == path);
  const std::string longest(128, 'n');
  const std::string file = download_path(longest, std::string(128, 't')).filename().string();
  CHECK(file.size() == 255);
  CHECK(file.ends_with("n." + std::string(128, 't')));
}

TEST_CASE("naming: data types of artifacts and files", "[storage][naming]") {
  const auto [path, artifact, file] = GENERATE(table<const char*, const char*, const char*>({
      {"points.json", "json", "json"},
      {"a/b/points.PLY", "ply", "ply"},
      {"mesh.drc", "ply_draco", "ply_draco"},
      {"mesh.glb", "glb", "glb"},
      {"mesh.obj", "obj", "obj"},
      {"t.csv", "csv", "csv"},
      {"v.mp4", "mp4", "mp4"},
      {"log.txt", "txt_data", "txt_data"},
      {"p.jpg", "jpg_data", "image_jpg"},
      {"p.jpeg", "jpeg_data", "image_jpeg"},
      {"p.png", "png_data", "image_png"},
      {"p.pgm", "pgm_data", "image_pgm"},
      {"p.zip", "zip_data", "zip"},
      {"p.tar", "tar_data", "tar"},
      {"p.tar.gz", "gz_data", "gz_data"},
      {"binary", "binary", "binary"},
      {"a.b/binary", "binary", "binary"},
      {".hidden", "binary", "binary"},
      {"dot.", "binary", "binary"},
      {"x.a b", "a_b_data", "a_b_data"},
  }));
  INFO(path);
  CHECK(artifact_data_type(path) == artifact);
  CHECK(file_data_type(path) == file);
}

TEST_CASE("naming: a file's name carries its digest", "[storage][naming]") {
  const std::string digest = sha256_hex("x");
  CHECK(file_data_name("photos/image 1.jpg", digest) == "image_1_" + digest.substr(0, 12));
  CHECK(file_data_name("a.tar.gz", digest) == "a_tar_" + digest.substr(0, 12));
  CHECK(file_data_name(".env", digest) == "_env_" + digest.substr(0, 12));
  CHECK(file_data_name(std::string(300, 'a'), digest).size() == 128);
}

TEST_CASE("naming: artifacts of a task", "[storage][naming]") {
  ArtifactNames plain((TaskId(kTask)), "");
  CHECK(named(plain, "points.ply") ==
        ArtifactName{"points.ply", std::string("points_ply_") + kTask, "ply"});
  CHECK(named(plain, "mesh/low-1.obj").name == std::string("mesh_low-1_obj_") + kTask);
  CHECK(named(plain, "points.ply").name == std::string("points_ply_") + kTask);

  ArtifactNames prefixed((TaskId(kTask)), "/jobs/7/");
  const ArtifactName name = named(prefixed, "a.json");
  CHECK(name.logical_path == "jobs/7/a.json");
  CHECK(name.name == std::string("jobs_7_a_json_") + kTask);
  CHECK_FALSE(prefixed.name("", {}).ok());
  CHECK_FALSE(prefixed.name("/", {}).ok());
}

TEST_CASE("naming: two paths that would share a name do not", "[storage][naming]") {
  ArtifactNames names((TaskId(kTask)), "");
  const ArtifactName first = named(names, "a/b.ply");
  const ArtifactName second = named(names, "a_b.ply");
  const std::string digits = sha256_hex("a_b.ply").substr(0, 8);
  CHECK(first.name == std::string("a_b_ply_") + kTask);
  CHECK(second.name == "a_b_ply_" + digits + "_" + kTask);
  CHECK(named(names, "a/b.ply") == first);
  CHECK(named(names, "a_b.ply") == second);
  PutOptions typed;
  typed.data_type = "other";
  CHECK(named(names, "a_b.ply", typed).name == first.name);  // another type: no clash
  CHECK(named(names, "a_b.ply", typed).name == first.name);
}

TEST_CASE("naming: a long name is cut before its task id", "[storage][naming]") {
  ArtifactNames names((TaskId(kTask)), "");
  const std::string fits(128 - 1 - 36, 'a');
  CHECK(named(names, fits).name == fits + "_" + kTask);
  const std::string first = std::string(200, 'a') + "1";
  const std::string second = std::string(200, 'a') + "2";
  const std::string name = named(names, first).name;
  CHECK(name.size() == 128);
  CHECK(name.ends_with("_" + sha256_hex(first).substr(0, 8) + "_" + kTask));
  CHECK(named(names, second).name.ends_with("_" + sha256_hex(second).substr(0, 8) + "_" + kTask));
}

TEST_CASE("naming: a runner's own names stand, when the server can take them",
          "[storage][naming]") {
  ArtifactNames names((TaskId(kTask)), "p");
  PutOptions options;
  options.name = "refined_manifest";
  options.data_type = "refined_manifest_json";
  CHECK(named(names, "m.json", options) ==
        ArtifactName{"p/m.json", "refined_manifest", "refined_manifest_json"});
  options.name = "a/b";
  CHECK(names.name("m.json", options).error().kind == ErrorKind::rejected);
  options.name = std::string(129, 'n');
  CHECK_FALSE(names.name("m.json", options).ok());
  options.name = "x";
  options.data_type = "a\nb";
  CHECK_FALSE(names.name("m.json", options).ok());
}

}  // namespace pn::storage
