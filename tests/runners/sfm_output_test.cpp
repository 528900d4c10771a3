// What COLMAP 3.8 really printed, kept in tests/golden/colmap (the mapper's iteration tables cut to
// three lines each).
#include "runners/sfm/colmap_output.hpp"
#include "runners/sfm/log_text.hpp"

#include <algorithm>
#include <cstddef>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

namespace pn::runners::sfm {
namespace {

struct Read {
  std::vector<Step> steps;
  ColmapOutput output;
};

Read read(const std::string& file, Stage stage, std::size_t photos) {
  std::ifstream in(std::string(GOLDEN) + "/colmap/" + file);
  REQUIRE(in.good());
  Read out{{}, ColmapOutput(stage, photos)};
  for (std::string line; std::getline(in, line);) {
    const std::optional<Step> step = out.output.add(line);
    if (step) out.steps.push_back(*step);
  }
  return out;
}

}  // namespace

TEST_CASE("colmap output: features", "[runners][sfm]") {
  const Read read = sfm::read("features.txt", Stage::features, 10);
  REQUIRE(read.steps.size() == 10);
  CHECK(read.steps.front() == Step{1, 10});
  CHECK(read.steps.back() == Step{10, 10});
  CHECK(read.output.refused().empty());
  CHECK(read.output.fault().empty());
}

TEST_CASE("colmap output: a photo it cannot read is named", "[runners][sfm]") {
  const Read read = sfm::read("features_unreadable.txt", Stage::features, 2);
  CHECK(read.steps.size() == 2);
  CHECK(read.output.refused() ==
        std::vector<ColmapOutput::Refusal>{{"x.pgm", "Failed to read image file format."}});
  CHECK(read.output.fault().empty());
}

TEST_CASE("colmap output: matching in blocks and in sequence", "[runners][sfm]") {
  CHECK(sfm::read("exhaustive.txt", Stage::matches, 3).steps ==
        std::vector<Step>{{0, 3}, {1, 3}, {2, 3}, {3, 3}});
  CHECK(sfm::read("sequential.txt", Stage::matches, 2).steps == std::vector<Step>{{1, 2}, {2, 2}});
}

TEST_CASE("colmap output: mapping counts registered photos", "[runners][sfm]") {
  const Read read = sfm::read("mapper.txt", Stage::mapping, 10);
  REQUIRE(read.steps.size() >= 9);
  CHECK(read.steps.front() == Step{2, 10});
  CHECK(read.steps.back() == Step{10, 10});
  CHECK(read.output.fault().empty());
}

TEST_CASE("colmap output: no model is no fault of the program", "[runners][sfm]") {
  const Read read = sfm::read("mapper_no_model.txt", Stage::mapping, 3);
  CHECK(read.steps.empty());
  CHECK(read.output.fault().empty());
}

TEST_CASE("colmap output: faults", "[runners][sfm]") {
  CHECK_THAT(sfm::read("gpu_abort.txt", Stage::matches, 2).output.fault(),
             Catch::Contains("Check failed: context_.create()"));
  CHECK_THAT(sfm::read("bad_folder.txt", Stage::features, 2).output.fault(),
             Catch::Contains("Check failed: database_parent_path"));
  const auto [line, fault, full] = GENERATE(table<std::string, bool, bool>({
      {"terminate called after throwing an instance of 'std::bad_alloc'", true, false},
      {"  what():  std::bad_alloc", true, false},
      {"F20261120 21:34:34.679039 24958 database.cc:56] SQLite error", true, false},
      {"F1120 21:34:34.679039 24958 database.cc:56] SQLite error", true, false},
      {"SQLite error: database or disk is full", false, true},
      {"write failed: No space left on device", false, true},
      {"Features:        1709", false, false},
      {"Focal Length:    615.17px (Prior)", false, false},
      {"", false, false},
  }));
  INFO(line);
  ColmapOutput output(Stage::mapping, 3);
  output.add(line);
  CHECK(output.fault().empty() == !fault);
  CHECK(output.disk_full() == full);
}

TEST_CASE("colmap output: nonsense tells nothing and breaks nothing", "[runners][sfm]") {
  for (const char* line : {"Processed file [",
                           "Processed file [/]",
                           "Matching block [0/0, 0/0]",
                           "Matching block [9/1, 9/1]",
                           "Matching block [99999999999999999999999/1, 1/1]",
                           "Registering image #",
                           "Registering image #1 (99)"}) {
    INFO(line);
    for (const Stage stage : {Stage::features, Stage::matches, Stage::mapping}) {
      ColmapOutput output(stage, 3);
      const std::optional<Step> step = output.add(line);
      if (step) CHECK(step->done <= std::max<std::size_t>(step->total, 3));
    }
  }
}

TEST_CASE("sfm log: keeps the head and the tail", "[runners][sfm]") {
  LogText log(10, 2);
  for (const char* line : {"one", "two", "three", "four", "five"}) log.add(line);
  CHECK(log.text() == "one\ntwo\n[1 lines left out]\nfour\nfive\n");
  LogText small;
  small.add("all");
  CHECK(small.text() == "all\n");
}

}  // namespace pn::runners::sfm
