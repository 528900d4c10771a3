// The flow of one task, with a COLMAP that does what a test says.
#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/json.hpp"
#include "base/result.hpp"
#include "base/system_clock.hpp"
#include "runners/process.hpp"
#include "runners/runner.hpp"
#include "runners/sfm/colmap_model.hpp"
#include "runners/sfm/sfm.hpp"
#include "storage/archive_write.hpp"
#include "storage/ports.hpp"
#include "tests/runners/sfm_support.hpp"
#include "tests/support/fake_task.hpp"
#include "tests/support/test_loop.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <deque>
#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/post.hpp>
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <sqlite3.h>

namespace pn::runners::sfm {
namespace {

using testing::FakeTask;
using testing::Started;
using testing::TestLoop;

/// Each mapper run takes the next model; a database without matches stands in for features.
class FakeColmap final : public ProcessLauncher {
 public:
  std::deque<std::optional<Model>> models;
  std::vector<std::string> programs;
  std::string fails_in;  ///< the program that ends with `exit`
  int fails_from = 1;    ///< in this run of it, and later
  ProcessExit exit{.code = 1};
  std::string last_words;
  Clock* hangs_on = nullptr;
  std::string database_row;  ///< SQL, after the tables are made
  int refuses = 0;           ///< so many photos

  Awaitable<Result<ProcessExit>> run(ProcessSpec spec) override {
    const std::string program = spec.arguments.front();
    programs.push_back(program);
    spec.on_line("this is " + program);
    if (hangs_on != nullptr) co_await hangs_on->sleep_for(std::chrono::hours(1));
    if (program == fails_in &&
        std::count(programs.begin(), programs.end(), program) >= fails_from) {
      spec.on_line(last_words);
      co_return exit;
    }
    if (program == "feature_extractor") {
      make_database(spec.folder / value(spec, "--database_path"));
      for (int i = 0; i < refuses; ++i) {
        spec.on_line("Processed file [" + std::to_string(i + 1) + "/5]");
        spec.on_line("  Name:            photo" + std::to_string(i) + ".pgm");
        spec.on_line("  ERROR: Failed to read image file format.");
      }
    }
    if (program == "mapper") {
      const std::optional<Model> model = models.front();
      models.pop_front();
      if (!model) co_return ProcessExit{.code = 1};
      write_model(spec.folder / value(spec, "--output_path") / "0", *model);
    }
    co_return ProcessExit{};
  }

 private:
  static std::string value(const ProcessSpec& spec, const std::string& name) {
    const auto at = std::find(spec.arguments.begin(), spec.arguments.end(), name);
    return *(at + 1);
  }
  void make_database(const std::filesystem::path& path) const {
    sqlite3* db = nullptr;
    sqlite3_open(path.c_str(), &db);
    sqlite3_exec(db,
                 "CREATE TABLE images(image_id, name);"
                 "CREATE TABLE keypoints(image_id, rows, cols, data);"
                 "CREATE TABLE matches(pair_id, rows, data);",
                 nullptr,
                 nullptr,
                 nullptr);
    sqlite3_exec(db, database_row.c_str(), nullptr, nullptr, nullptr);
    sqlite3_close(db);
  }
};

struct Fixture {
  TestLoop loop;
  SystemClock clock;
  FakeTask task{clock};
  FakeColmap colmap;
  std::unique_ptr<Runner> runner = make_sfm_runner({.colmap = "/usr/bin/colmap"}, colmap);

  void add_photos(int count) {
    for (int i = 0; i < count; ++i) {
      const auto path = task.root() / ("photo" + std::to_string(i) + ".pgm");
      write_bytes(path, pgm(64, 48, i));
      task.add_input(path);
    }
  }
  Result<void> run() { return loop.run(runner->run(task)); }
  Json report() { return *parse_json(task.artifact("report.json")); }
  std::vector<std::string> artifacts() {
    std::vector<std::string> out;
    for (const storage::Artifact& artifact : task.artifacts()) out.push_back(artifact.logical_path);
    std::sort(out.begin(), out.end());
    return out;
  }
};

const std::vector<std::string> kAll{"cameras.json",
                                    "log.txt",
                                    "model.zip",
                                    "points.drc",
                                    "points.ply",
                                    "preview.png",
                                    "report.json"};

Model worse(Model model, double error_px) {
  for (Point& point : model.points) point.error_px = error_px;
  return model;
}

}  // namespace

TEST_CASE_METHOD(Fixture, "sfm: all well", "[runners][sfm][mt]") {
  add_photos(5);
  colmap.models = {make_model(5, 100)};
  REQUIRE(run());
  CHECK(artifacts() == kAll);
  CHECK(report()["registered"] == 5);
  CHECK(report()["attempts"] == 1);
  CHECK(report()["not_registered"].empty());
  CHECK(colmap.programs ==
        std::vector<std::string>{"feature_extractor", "exhaustive_matcher", "mapper"});
  CHECK_THAT(task.artifact("log.txt"), Catch::Contains("this is mapper"));
  CHECK_THAT(task.artifact("model.zip"), Catch::StartsWith("PK"));
  CHECK_THAT(task.progress_seen.back(), Catch::Contains("\"export\""));
}

TEST_CASE_METHOD(Fixture, "sfm: a second try with the next finer profile", "[runners][sfm][mt]") {
  add_photos(5);
  task.task.meta_json = R"({"profile":"fast"})";
  const auto [name, first, warning] =
      GENERATE(table<std::string, std::optional<Model>, std::string>({
          {"no model", std::nullopt, "no reconstruction"},
          {"too few registered", make_model(3, 100), "3 of 5"},
          {"a large error", worse(make_model(5, 100), 1.9), "1.90 px"},
      }));
  INFO(name);
  colmap.models = {first, make_model(5, 100)};
  REQUIRE(run());
  CHECK(report()["attempts"] == 2);
  CHECK(report()["profile"] == "default");
  CHECK(report()["registered"] == 5);
  CHECK_THAT(report()["warnings"][0].get<std::string>(), Catch::Contains(warning));
}

TEST_CASE_METHOD(Fixture,
                 "sfm: two tries that fall short fail for good, with all there is",
                 "[runners][sfm][mt]") {
  add_photos(5);
  SECTION("the better one is kept") {
    colmap.models = {make_model(3, 100), make_model(2, 100)};
    const Result<void> done = run();
    REQUIRE_FALSE(done);
    CHECK(done.error().code == "too_few_registered");
    CHECK(done.error().kind == ErrorKind::rejected);
    CHECK_THAT(done.error().detail, Catch::Contains("3 of 5 photos"));
    CHECK(artifacts() == kAll);
    CHECK(report()["registered"] == 3);
    CHECK(report()["not_registered"].size() == 2);
  }
  SECTION("nothing to keep") {
    colmap.models = {std::nullopt, std::nullopt};
    const Result<void> done = run();
    REQUIRE_FALSE(done);
    CHECK(done.error().code == "no_model");
    CHECK(artifacts() == std::vector<std::string>{"log.txt", "report.json"});
    CHECK(report()["attempts"] == 2);
  }
  SECTION("there is nothing finer than fine") {
    task.task.meta_json = R"({"profile":"fine"})";
    colmap.models = {std::nullopt};
    const Result<void> done = run();
    REQUIRE_FALSE(done);
    CHECK(done.error().kind == ErrorKind::internal);
    CHECK(report()["attempts"] == 1);
  }
}

TEST_CASE_METHOD(Fixture,
                 "sfm: COLMAP's own failure is no matter of profiles",
                 "[runners][sfm][mt]") {
  add_photos(5);
  const auto [program, exit, words, kind, code] =
      GENERATE(table<std::string, ProcessExit, std::string, ErrorKind, std::string>({
          {"feature_extractor", {.code = 1}, "ERROR: bad", ErrorKind::internal, "colmap_failed"},
          {"exhaustive_matcher",
           {.code = 134, .signal = 6},
           "",
           ErrorKind::internal,
           "colmap_failed"},
          {"mapper", {.code = 137, .signal = 9}, "", ErrorKind::internal, "colmap_failed"},
          {"mapper", {.code = 1}, "what(): bad_alloc", ErrorKind::internal, "colmap_failed"},
          {"mapper", {.code = 1}, "database or disk is full", ErrorKind::full, "disk_full"},
      }));
  INFO(program << " " << exit.code << " " << words);
  colmap.fails_in = program;
  colmap.exit = exit;
  colmap.last_words = words;
  const Result<void> done = run();
  REQUIRE_FALSE(done);
  CHECK(done.error().kind == kind);
  CHECK(done.error().code == code);
  CHECK(report()["attempts"] == 1);
  CHECK_THAT(task.artifact("log.txt"), Catch::Contains(words));
}

TEST_CASE_METHOD(Fixture,
                 "sfm: a full disk in the second try is the node's fault and not the photos'",
                 "[runners][sfm][mt]") {
  add_photos(5);
  colmap.models = {std::nullopt};
  colmap.fails_in = "mapper";
  colmap.fails_from = 2;
  colmap.last_words = "database or disk is full";
  const Result<void> done = run();
  REQUIRE_FALSE(done);
  CHECK(report()["attempts"] == 2);
  CHECK(done.error().kind == ErrorKind::full);
  CHECK(done.error().code == "disk_full");
}

TEST_CASE_METHOD(Fixture,
                 "sfm: photos that COLMAP cannot read are the end of it only all together",
                 "[runners][sfm][mt]") {
  add_photos(5);
  SECTION("one") {
    colmap.refuses = 1;
    colmap.models = {make_model(4, 100)};
    REQUIRE(run());
    CHECK_THAT(report()["warnings"][0].get<std::string>(), Catch::Contains("photo0.pgm"));
  }
  SECTION("all, though it ends with 0") {
    colmap.refuses = 5;
    const Result<void> done = run();
    REQUIRE_FALSE(done);
    CHECK(done.error().kind == ErrorKind::rejected);
    CHECK(done.error().code == "no_photos");
    CHECK_THAT(done.error().detail,
               Catch::Contains("photo0.pgm: Failed to read image file format."));
    CHECK(colmap.programs == std::vector<std::string>{"feature_extractor"});
    CHECK(report()["attempts"] == 1);
    CHECK(report()["warnings"].size() == 5);
  }
}

TEST_CASE_METHOD(Fixture, "sfm: more matches than fit are not looked at", "[runners][sfm][mt]") {
  add_photos(5);
  // Rows that say so and hold nothing: reading them would be an error.
  colmap.database_row = GENERATE(as<std::string>(),
                                 "INSERT INTO matches VALUES(1, 25000000, x'')",
                                 "INSERT INTO keypoints VALUES(1, 25000000, 6, x'')");
  colmap.models = {make_model(5, 100)};
  REQUIRE(run());
  CHECK_THAT(report()["warnings"][0].get<std::string>(),
             Catch::Contains("25000000") && Catch::Contains("max_features"));
  CHECK(report()["registered"] == 5);
}

TEST_CASE("sfm: cancellation stops the unpacking of photos", "[runners][sfm][mt]") {
  Fixture fixture;
  fixture.add_photos(5);
  const auto zip = fixture.task.root() / "photos.zip";
  const auto photo = fixture.task.root() / "photo0.pgm";
  const std::atomic<bool> no{false};
  REQUIRE(
      storage::write_archive(zip, storage::ArchiveFormat::zip_stored, {{"zipped.pgm", photo}}, no));
  fixture.task.add_input(zip);
  // Both threads of the pool are held, so that the cancellation comes before the work.
  std::promise<void> release;
  std::shared_future<void> released = release.get_future().share();
  for (int i = 0; i < 2; ++i) {
    asio::post(fixture.task.compute().executor(), [released] { released.wait(); });
  }
  const auto body = [&]() -> Awaitable<void> {
    const Result<void> done = co_await fixture.runner->run(fixture.task);
    CHECK(done.ok());  // not reached
  };
  Started started(fixture.loop, body());
  fixture.loop.poll();
  REQUIRE_FALSE(started.done());
  started.cancel();
  fixture.loop.poll();  // which brings it there
  release.set_value();
  fixture.loop.context.restart();
  while (!started.done() && fixture.loop.context.run_one() > 0) {
  }
  CHECK(started.failed());
  CHECK(std::filesystem::exists(fixture.task.workspace() / "photos"));
  CHECK(std::filesystem::is_empty(fixture.task.workspace() / "photos"));
  CHECK(fixture.colmap.programs.empty());
}

TEST_CASE_METHOD(Fixture,
                 "sfm: what is wrong with the task is said before COLMAP starts",
                 "[runners][sfm][mt]") {
  std::string code;
  SECTION("no photos") { code = "no_photos"; }
  SECTION("too few") {
    add_photos(2);
    code = "too_few_photos";
  }
  SECTION("meta") {
    add_photos(3);
    task.task.meta_json = R"({"profiel":"fast"})";
    code = "bad_meta";
  }
  SECTION("intrinsics of other photos") {
    add_photos(3);
    task.task.meta_json = R"({"intrinsics":{"params":[600,600,320,240],"width":640,"height":480}})";
    code = "photo_size";
  }
  const Result<void> done = run();
  REQUIRE_FALSE(done);
  CHECK(done.error().kind == ErrorKind::rejected);
  CHECK(done.error().code == code);
  CHECK(colmap.programs.empty());
}

TEST_CASE_METHOD(Fixture,
                 "sfm: an upload's failure does not hide the runner's own",
                 "[runners][sfm][mt]") {
  add_photos(5);
  task.put_fails.emplace(ErrorKind::retry, "http_503", "busy");
  SECTION("only the upload fails") {
    colmap.models = {make_model(5, 100)};
    CHECK(run().error().code == "http_503");
  }
  SECTION("both") {
    colmap.models = {std::nullopt, std::nullopt};
    CHECK(run().error().code == "no_model");
  }
}

TEST_CASE("sfm: cancellation ends it while COLMAP runs", "[runners][sfm][mt]") {
  Fixture fixture;
  fixture.add_photos(5);
  fixture.colmap.hangs_on = &fixture.loop.clock;
  const auto body = [&]() -> Awaitable<void> {
    const Result<void> done = co_await fixture.runner->run(fixture.task);
    CHECK(done.ok());  // not reached
  };
  Started started(fixture.loop, body());
  fixture.loop.run_until([&] { return !fixture.colmap.programs.empty(); });
  REQUIRE(fixture.colmap.programs.size() == 1);
  started.cancel();
  fixture.loop.poll();
  CHECK(started.done());
  CHECK(started.failed());
  CHECK(fixture.task.artifacts().empty());
}

TEST_CASE("sfm: a missing COLMAP says how to get it", "[runners][sfm]") {
  const Result<std::filesystem::path> found = find_colmap("pn-no-colmap", "/usr/bin:/bin");
  REQUIRE_FALSE(found);
  CHECK(found.error().code == "colmap_missing");
  CHECK_THAT(found.error().detail, Catch::Contains("SFM_COLMAP"));
}

}  // namespace pn::runners::sfm
