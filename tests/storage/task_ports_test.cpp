#include "storage/task_ports.hpp"

#include "base/ids.hpp"
#include "base/result.hpp"
#include "http/server.hpp"
#include "storage/ports.hpp"
#include "tests/storage/fake_domain_server.hpp"
#include "tests/support/temp_folder.hpp"
#include "tests/support/test_loop.hpp"

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

namespace pn::storage {
namespace {

using testing::DomainWorld;
using testing::FakeDomainServer;
using testing::TempFolder;
using testing::TestLoop;

struct Fixture {
  TestLoop loop;
  FakeDomainServer server{loop};
  DomainWorld world{loop, server.url()};
  TempFolder folder;
  TaskInputs inputs{world.client, folder.path / "inputs"};
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

TEST_CASE("task inputs: each CID has its folder, a second fetch asks nobody", "[storage][ports]") {
  Fixture f;
  const std::string a = f.server.add("scan", "zip", "aaa");
  const std::string b = f.server.add("scan2", "csv", "bb");
  const auto first = f.loop.run(f.inputs.fetch(Cid(a)));
  REQUIRE(first.ok());
  CHECK(first->cid == Cid(a));
  REQUIRE(first->files.size() == 1);
  CHECK(first->files[0].path == f.folder.path / "inputs/input-1/datasets/scan/scan.zip");
  const auto second = f.loop.run(f.inputs.fetch(Cid("/api/v1/domains/d1/data/" + b)));
  REQUIRE(second.ok());
  CHECK(second->files[0].path == f.folder.path / "inputs/input-2/datasets/scan2/scan2.csv");
  const auto again = f.loop.run(f.inputs.fetch(Cid(a)));
  REQUIRE(again.ok());
  CHECK(again->files[0].path == first->files[0].path);
  CHECK(f.server.seen.size() == 2);
}

TEST_CASE("task inputs: a CID of another server is refused without a request", "[storage][ports]") {
  Fixture f;
  const auto input =
      f.loop.run(f.inputs.fetch(Cid("https://evil.example.org/api/v1/domains/d1/data/x")));
  REQUIRE_FALSE(input.ok());
  CHECK(input.error().code == "cid_elsewhere");
  CHECK(f.server.seen.empty());
  const auto missing = f.loop.run(f.inputs.fetch(Cid("nothing of that name")));
  REQUIRE_FALSE(missing.ok());
  CHECK(missing.error().kind == ErrorKind::not_found);
  CHECK_THAT(missing.error().detail, Catch::Contains("nothing of that name"));
}

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
