#include "storage/task_ports.hpp"

#include "base/ids.hpp"
#include "base/result.hpp"
#include "http/server.hpp"
#include "storage/ports.hpp"
#include "tests/storage/domain_fixture.hpp"

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

namespace pn::storage {
namespace {

using testing::DomainFixture;

struct Fixture : DomainFixture {
  TaskArtifacts outputs{
      world.client, TaskId("task-1"), "out/", [this] { return folder.path / "outputs"; }};

  Artifact put(std::string path, std::string bytes, PutOptions options = {}) {
    Result<Artifact> artifact =
        loop.run(outputs.put_bytes(std::move(path), std::move(bytes), std::move(options)));
    REQUIRE(artifact.ok());
    return *std::move(artifact);
  }
};

}  // namespace

TEST_CASE("task artifacts: named, listed in order, put again by id", "[storage][ports]") {
  Fixture f;
  const Artifact points = f.put("points.ply", "1");
  CHECK(points.logical_path == "out/points.ply");
  CHECK(points.name == "out_points_ply_task-1");
  CHECK(points.data_type == "ply");
  PutOptions own;
  own.name = "manifest";
  own.data_type = "refined_manifest_json";
  const Artifact manifest = f.put("m.json", "{}", own);
  CHECK(manifest.name == "manifest");

  const std::size_t before = f.server.seen.size();
  const Artifact again = f.put("points.ply", "22");
  CHECK(again == points);
  CHECK(f.server.seen.size() == before + 1);  // no look-up: the id is known
  CHECK(f.server.items.at(points.id.str()).bytes == "22");
  CHECK(f.outputs.artifacts() == std::vector<Artifact>{points, manifest});
}

TEST_CASE("task artifacts: what the server is known to have is not sent again",
          "[storage][ports]") {
  Fixture f;
  f.server.tells_digest = true;
  const Artifact first = f.put("points.ply", "1");
  const std::size_t before = f.server.seen.size();
  CHECK(f.put("points.ply", "1") == first);
  CHECK(f.server.seen.size() == before + 1);  // the look-up
  CHECK(f.server.count("PUT /data") == 0);
  f.server.items.at(first.id.str()).bytes = "2";  // by another, since
  CHECK(f.put("points.ply", "1") == first);
  CHECK(f.server.items.at(first.id.str()).bytes == "1");
}

TEST_CASE("task artifacts: a repeated task overwrites", "[storage][ports]") {
  Fixture f;
  const std::string id = f.server.add("out_points_ply_task-1", "ply", "of the first attempt");
  CHECK(f.put("points.ply", "2").id == DataId(id));
  CHECK(f.server.items.size() == 1);
}

TEST_CASE("task artifacts: files, and failures that are not listed", "[storage][ports]") {
  Fixture f;
  PutOptions none;
  const auto file = f.folder.write("a.csv", "1,2");
  const auto put = f.loop.run(f.outputs.put_file("t/a.csv", file, none));
  REQUIRE(put.ok());
  CHECK(f.server.items.at(put->id.str()).bytes == "1,2");
  f.server.fault = [](const http::ServerRequest&) {
    return http::error_response(402, "credits", "no credits");
  };
  const auto failed = f.loop.run(f.outputs.put_bytes("b.csv", "1", none));
  REQUIRE_FALSE(failed.ok());
  CHECK_THAT(failed.error().detail, Catch::Contains("no credits"));
  CHECK(f.outputs.artifacts() == std::vector<Artifact>{*put});
}

}  // namespace pn::storage
