// The real COLMAP on real photos of the Debian package visp-images-data; skipped where one is
// absent.
#include "base/json.hpp"
#include "base/result.hpp"
#include "base/system_clock.hpp"
#include "runners/process.hpp"
#include "runners/sfm/sfm.hpp"
#include "tests/support/fake_task.hpp"
#include "tests/support/test_loop.hpp"

#include <array>
#include <chrono>
#include <cstdio>
#include <filesystem>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

namespace pn::runners::sfm {
namespace {

const std::filesystem::path kCastel =
    "/usr/share/visp-images-data/ViSP-images/mbt-depth/castel/castel";
constexpr const char* kIntrinsics =
    R"("intrinsics":{"params":[615.167,615.167,312.189,243.437],"width":640,"height":480})";

}  // namespace

TEST_CASE("sfm: the real COLMAP reconstructs the toy castle", "[runners][sfm][colmap]") {
  const Result<std::filesystem::path> colmap = find_colmap("colmap", "");
  if (!colmap || !std::filesystem::exists(kCastel)) {
    WARN("skipped: it needs the Debian packages colmap and visp-images-data");
    return;
  }
  testing::TestLoop loop;
  SystemClock clock;
  testing::FakeTask task(clock);
  for (const int number : {0, 6, 12, 18, 24}) {
    std::array<char, 32> name{};
    std::snprintf(name.data(), name.size(), "image_%04d.pgm", number);
    task.add_input(kCastel / name.data());
  }
  // Small, so that the default tests stay quick; K is what makes five photos enough.
  task.task.meta_json = std::string(R"({"profile":"fast",)") + kIntrinsics + "}";
  const auto launcher = make_process_launcher(loop.executor(), clock);
  const auto runner = make_sfm_runner({.colmap = *colmap, .threads = 2}, *launcher);
  const Result<void> done = loop.run(runner->run(task), std::chrono::seconds(55));
  INFO((done ? "" : done.error().detail));
  REQUIRE(done);
  const Json report = *parse_json(task.artifact("report.json"));
  CHECK(report["registered"] == 5);
  CHECK(report["points"].get<int>() > 150);
  // The castle turns before a fixed camera: with the background left in, this is 0.9.
  CHECK(report["mean_error_px"].get<double>() < 0.7);
  CHECK_THAT(report["warnings"].dump(), Catch::Contains("background"));
  CHECK(report["intrinsics"]["refined"] == false);
  CHECK(task.artifacts().size() == 7);
  CHECK_THAT(task.artifact("log.txt"), Catch::Contains("Registering image"));
}

}  // namespace pn::runners::sfm
