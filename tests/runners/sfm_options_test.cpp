#include "base/result.hpp"
#include "runners/sfm/colmap_commands.hpp"
#include "runners/sfm/options.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

namespace pn::runners::sfm {
namespace {

/// The argument after `name`; "absent" when there is none.
std::string argument(const std::vector<std::string>& arguments, const std::string& name) {
  const auto at = std::find(arguments.begin(), arguments.end(), name);
  return at == arguments.end() || at + 1 == arguments.end() ? "absent" : *(at + 1);
}

}  // namespace

TEST_CASE("sfm options: what is no option is refused, the wire's own keys too", "[runners][sfm]") {
  // Whoever reads the task takes those out (node/dms_json.cpp); here they would be a typing error.
  for (const char* key : {"profiel", "progress", "events", "legacy", "domain_server_url"}) {
    INFO(key);
    const Result<Options> options = parse_options(R"({")" + std::string(key) + R"(":{}})");
    REQUIRE_FALSE(options);
    CHECK(options.error().code == "bad_meta");
    CHECK_THAT(options.error().detail, Catch::Contains(key));
  }
}

TEST_CASE("sfm options: an empty meta means the defaults", "[runners][sfm]") {
  const Result<Options> options = parse_options("{}");
  REQUIRE(options);
  CHECK(options->profile == Profile::standard);
  CHECK(options->matcher == Matcher::automatic);
  CHECK(options->min_registered == 0.8);
  CHECK(options->max_error_px == 1.5);
  CHECK_FALSE(options->intrinsics);
}

TEST_CASE("sfm options: everything that can be said", "[runners][sfm]") {
  const Result<Options> options = parse_options(
      R"({"profile":"fast","matcher":"sequential","overlap":7,"max_features":2000,
          "max_image_px":800,"min_registered":0.5,"max_error_px":2,
          "intrinsics":{"model":"PINHOLE","params":[600,601,320,240],"width":640,"height":480}})");
  REQUIRE(options);
  CHECK(options->profile == Profile::fast);
  CHECK(options->matcher == Matcher::sequential);
  CHECK(options->overlap == 7);
  CHECK(options->max_features == 2000);
  CHECK(options->max_image_px == 800);
  CHECK(options->min_registered == 0.5);
  CHECK(options->max_error_px == 2);
  CHECK(options->intrinsics == Intrinsics{"PINHOLE", {600, 601, 320, 240}, 640, 480});
}

TEST_CASE("sfm options: what is wrong is named", "[runners][sfm]") {
  const auto [meta, named] = GENERATE(table<std::string, std::string>({
      {"nonsense", "meta"},
      {"[]", "meta"},
      {R"({"profil":"fast"})", "profil"},
      {R"({"profile":"quick"})", "fast, default, fine"},
      {R"({"profile":3})", "profile"},
      {R"({"matcher":"all"})", "matcher"},
      {R"({"overlap":0})", "overlap"},
      {R"({"max_features":1e9})", "max_features"},
      {R"({"max_image_px":5})", "max_image_px"},
      {R"({"min_registered":1.1})", "min_registered"},
      {R"({"max_error_px":0})", "max_error_px"},
      {R"({"intrinsics":{"model":"MAGIC","params":[1]}})", "MAGIC"},
      {R"({"intrinsics":{"model":"PINHOLE","params":[600,320,240]}})", "takes 4"},
      {R"({"intrinsics":{"model":"PINHOLE","params":[600,"x",320,240]}})", "not a number"},
      {R"({"intrinsics":{"model":"SIMPLE_PINHOLE","params":[-1,320,240]}})", "focal length"},
      {R"({"intrinsics":{"focal":600}})", "focal"},
      {R"({"intrinsics":7})", "intrinsics"},
  }));
  INFO(meta);
  const Result<Options> options = parse_options(meta);
  REQUIRE_FALSE(options);
  CHECK(options.error().kind == ErrorKind::rejected);
  CHECK(options.error().code == "bad_meta");
  // MAGIC itself is not echoed where the known models are listed.
  if (named != "MAGIC")
    CHECK_THAT(options.error().detail, Catch::Contains(named));
  else
    CHECK_THAT(options.error().detail, Catch::Contains("SIMPLE_RADIAL"));
}

TEST_CASE("sfm options: profiles, and the task's own limits", "[runners][sfm]") {
  Options options;
  CHECK(settings_of(options, Profile::fast) == ProfileSettings{0, 4096, 1000});
  CHECK(settings_of(options, Profile::standard) == ProfileSettings{-1, 4096, 1000});
  CHECK(settings_of(options, Profile::fine) == ProfileSettings{-1, 8192, 1600});
  options.max_features = 500;
  options.max_image_px = 3000;
  CHECK(settings_of(options, Profile::standard) == ProfileSettings{-1, 500, 3000});
  // The second try is finer than the first in every respect.
  CHECK(settings_of(options, Profile::fine) == ProfileSettings{-1, 8192, 3000});
  CHECK(finer(Profile::fast) == Profile::standard);
  CHECK(finer(Profile::standard) == Profile::fine);
  CHECK_FALSE(finer(Profile::fine));
}

TEST_CASE("sfm options: which matcher for how many photos", "[runners][sfm]") {
  CHECK(resolve(Matcher::automatic, 24, 1) == Matcher::exhaustive);
  CHECK(resolve(Matcher::automatic, 25, 1) == Matcher::sequential);
  CHECK(resolve(Matcher::automatic, 100, 2) == Matcher::exhaustive);
  CHECK(resolve(Matcher::automatic, 101, 2) == Matcher::sequential);
  CHECK(resolve(Matcher::sequential, 3, 1) == Matcher::sequential);
  CHECK(resolve(Matcher::exhaustive, 500, 1) == Matcher::exhaustive);
}

TEST_CASE("sfm commands: what COLMAP must always be told", "[runners][sfm]") {
  ColmapPlan plan;
  plan.database = "a/database.db";
  plan.photos = "photos";
  plan.models = "a/sparse";
  plan.threads = 3;
  plan.photo_count = 10;
  const auto features = feature_arguments(plan);
  CHECK(features.front() == "feature_extractor");
  // Left at its default COLMAP aborts on a machine without a display (tests/golden/colmap).
  CHECK(argument(features, "--SiftExtraction.use_gpu") == "0");
  CHECK(argument(features, "--SiftExtraction.num_threads") == "3");
  CHECK(argument(features, "--SiftExtraction.max_image_size") == "1000");
  CHECK(argument(features, "--ImageReader.single_camera") == "1");
  CHECK(argument(features, "--ImageReader.camera_model") == "absent");
  CHECK(argument(match_arguments(plan), "--SiftMatching.use_gpu") == "0");
  CHECK(argument(import_arguments(plan, "list"), "--SiftMatching.use_gpu") == "0");
  CHECK(argument(map_arguments(plan), "--Mapper.ba_refine_focal_length") == "1");
}

TEST_CASE("sfm commands: known intrinsics are given and kept", "[runners][sfm]") {
  ColmapPlan plan;
  plan.intrinsics = Intrinsics{"PINHOLE", {615.167, 615.167, 312.189, 243.437}, 640, 480};
  const auto features = feature_arguments(plan);
  CHECK(argument(features, "--ImageReader.camera_model") == "PINHOLE");
  CHECK(argument(features, "--ImageReader.camera_params") == "615.167,615.167,312.189,243.437");
  CHECK(argument(map_arguments(plan), "--Mapper.ba_refine_focal_length") == "0");
  CHECK(argument(map_arguments(plan), "--Mapper.ba_refine_extra_params") == "0");
}

TEST_CASE("sfm commands: matchers", "[runners][sfm]") {
  ColmapPlan plan;
  plan.photo_count = 10;
  CHECK(match_arguments(plan).front() == "exhaustive_matcher");
  CHECK(argument(match_arguments(plan), "--ExhaustiveMatching.block_size") == "3");
  plan.photo_count = 1000;
  CHECK(argument(match_arguments(plan), "--ExhaustiveMatching.block_size") == "50");
  plan.matcher = Matcher::sequential;
  plan.overlap = 6;
  CHECK(match_arguments(plan).front() == "sequential_matcher");
  CHECK(argument(match_arguments(plan), "--SequentialMatching.overlap") == "6");
}

TEST_CASE("sfm commands: nothing of the node's environment", "[runners][sfm]") {
  const auto environment = colmap_environment("/somewhere", 4);
  CHECK(environment.at("OMP_NUM_THREADS") == "4");
  CHECK(environment.at("QT_QPA_PLATFORM") == "offscreen");
  CHECK(environment.at("HOME") == "/somewhere");
  CHECK(environment.size() == 7);
}

}  // namespace pn::runners::sfm
