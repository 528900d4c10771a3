#include "base/result.hpp"
#include "runners/sfm/matches.hpp"

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <string>

#include <catch2/catch.hpp>
#include <sqlite3.h>
#include <unistd.h>

namespace pn::runners::sfm {
namespace {

constexpr std::uint32_t kPhotos = 6;
constexpr std::uint32_t kEach = 100;  ///< key points on the object, and on the background

/// Photos of an object that moves by `object_px` a photo before a background that moves by
/// `background_px`. Key point i of every photo matches key point i of every other.
MatchTable table_of(float object_px, float background_px, float background_noise = 0.2F) {
  MatchTable table;
  for (std::uint32_t photo = 1; photo <= kPhotos; ++photo) {
    table.names[photo] = "photo" + std::to_string(photo) + ".jpg";
    auto& points = table.key_points[photo];
    for (std::uint32_t i = 0; i < 2 * kEach; ++i) {
      const bool object = i < kEach;
      const float shift = (object ? object_px : background_px) * static_cast<float>(photo);
      const float noise =
          object ? 0 : background_noise * std::sin(static_cast<float>(i * 7 + photo * 13));
      points.push_back({static_cast<float>(i * 3) + shift + noise, static_cast<float>(i)});
    }
  }
  for (std::uint32_t a = 1; a <= kPhotos; ++a) {
    for (std::uint32_t b = a + 1; b <= kPhotos; ++b) {
      PairMatches pair{a, b, {}};
      for (std::uint32_t i = 0; i < 2 * kEach; ++i) pair.matches.push_back({i, i});
      table.pairs.push_back(pair);
    }
  }
  return table;
}

}  // namespace

TEST_CASE("still background: a turning object before a fixed camera", "[runners][sfm]") {
  const StillBackground found = find_still_background(table_of(8, 0));
  REQUIRE(found.found);
  CHECK(found.matches == 15 * 2 * kEach);
  CHECK(found.dropped == 15 * kEach);
  REQUIRE(found.kept.size() == 15);
  for (const PairMatches& pair : found.kept) {
    for (const auto& match : pair.matches) CHECK(match[0] < kEach);
  }
}

TEST_CASE("still background: photos taken before it began to turn do not hide it",
          "[runners][sfm]") {
  MatchTable table = table_of(8, 0);
  table.key_points[2] = table.key_points[1];  // the object has not moved yet
  const StillBackground found = find_still_background(table);
  REQUIRE(found.found);
  // That pair keeps the object's matches though they stand still.
  CHECK(found.kept.front().matches.size() == kEach);
}

TEST_CASE("still background: a moving camera has none", "[runners][sfm]") {
  const auto [name, object, background, noise] = GENERATE(table<std::string, float, float, float>({
      {"everything moves", 8.0F, 3.0F, 0.2F},
      {"nothing moves", 0.0F, 0.0F, 0.2F},
      {"what is far moves little, without a peak at nought", 8.0F, 0.0F, 1.9F},
  }));
  INFO(name);
  CHECK_FALSE(find_still_background(table_of(object, background, noise)).found);
  CHECK_FALSE(find_still_background(MatchTable()).found);
}

TEST_CASE("still background: the list that COLMAP imports", "[runners][sfm]") {
  const MatchTable table = table_of(8, 0);
  CHECK(to_match_list(table, {{1, 2, {{3, 4}, {5, 6}}}}) == "photo1.jpg photo2.jpg\n3 4\n5 6\n\n");
}

TEST_CASE("matches: a database that makes no sense is an error", "[runners][sfm]") {
  const std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("pn-matches-" + std::to_string(::getpid()) + ".db");
  std::filesystem::remove(path);
  const auto fill = [&](const std::string& sql) {
    sqlite3* db = nullptr;
    REQUIRE(sqlite3_open(path.c_str(), &db) == SQLITE_OK);
    const int code = sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr);
    sqlite3_close(db);
    REQUIRE(code == SQLITE_OK);
  };
  const std::string schema =
      "CREATE TABLE images(image_id, name); CREATE TABLE keypoints(image_id, rows, cols, data);"
      "CREATE TABLE matches(pair_id, rows, data); CREATE TABLE two_view_geometries(pair_id);"
      "INSERT INTO images VALUES(1,'a'),(2,'b');"
      "INSERT INTO keypoints VALUES(1,1,2,zeroblob(8)),(2,1,2,zeroblob(8));";
  const std::string pair = std::to_string(2147483647LL * 1 + 2);
  CHECK_FALSE(read_matches(path));
  SECTION("in order") {
    fill(schema + "INSERT INTO matches VALUES(" + pair + ",1,zeroblob(8));");
    const Result<MatchTable> table = read_matches(path);
    REQUIRE(table);
    CHECK(table->pairs.at(0).matches.size() == 1);
    CHECK(clear_matches(path));
    CHECK(read_matches(path)->pairs.empty());
  }
  SECTION("a blob too short") {
    fill(schema + "INSERT INTO matches VALUES(" + pair + ",2,zeroblob(8));");
    CHECK(read_matches(path).error().code == "bad_database");
    CHECK(read_matches(path).error().kind == ErrorKind::internal);
  }
  SECTION("a key point that is not there") {
    fill(schema + "INSERT INTO matches VALUES(" + pair + ",1,x'0000000007000000');");
    CHECK(read_matches(path).error().code == "bad_database");
    CHECK(read_matches(path).error().kind == ErrorKind::internal);
  }
  SECTION("no tables") {
    fill("CREATE TABLE other(x);");
    CHECK(read_matches(path).error().code == "bad_database");
    CHECK(read_matches(path).error().kind == ErrorKind::internal);
  }
  std::filesystem::remove(path);
}

}  // namespace pn::runners::sfm
