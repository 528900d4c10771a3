#include "node/state_db.hpp"

#include "base/ids.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "node/journal.hpp"
#include "node/receipt.hpp"
#include "tests/support/temp_folder.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>
#include <sqlite3.h>
#include <sys/stat.h>

namespace pn::node {
namespace {

using pn::testing::TempFolder;
using Sync = StateDb::Sync;

JournalRow row(RowId id, const std::string& body, RowState state = RowState::pending) {
  JournalRow out;
  out.id = id;
  out.task = TaskId("t" + std::to_string(id));
  out.state = state;
  out.outcome = Outcome::completed;
  out.body = body;
  out.trace_id = "abc";
  out.at = SystemTime(std::chrono::seconds(1'800'000'000));
  return out;
}

Result<void> write(StateDb& db, std::vector<RowChange> changes, Sync sync = Sync::durable) {
  std::vector<const RowChange*> all;
  for (const RowChange& change : changes) all.push_back(&change);
  return db.write(all, sync);
}

void sql(const std::filesystem::path& file, const std::string& text) {
  sqlite3* db = nullptr;
  REQUIRE(sqlite3_open(file.c_str(), &db) == SQLITE_OK);
  REQUIRE(sqlite3_exec(db, text.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK);
  sqlite3_close(db);
}

}  // namespace

TEST_CASE("state db: what was written is there again", "[node][state_db]") {
  const TempFolder dir;
  const std::filesystem::path file = dir.path / "state.db";
  {
    auto db = StateDb::open(file);
    REQUIRE(db.ok());
    CHECK((*db)->load()->empty());
    const std::string body = "{\"a\":\"\xc3\xa4\"}";
    CHECK(write(**db, {PutRow{row(1, body)}, PutRow{row(2, "two")}}).ok());
    CHECK(write(**db, {PutRow{row(3, "three", RowState::leased)}}, Sync::lazy).ok());
    CHECK(write(**db, {EraseRow{2}, SetRowAside{1, row(1, "").at, "409"}}).ok());
  }
  struct stat status{};
  REQUIRE(::stat(file.c_str(), &status) == 0);
  CHECK((status.st_mode & 0777U) == 0600U);
  auto db = StateDb::open(file);
  REQUIRE(db.ok());
  const auto rows = (*db)->load();
  REQUIRE(rows->size() == 2);
  JournalRow expected = row(1, "", RowState::set_aside);
  CHECK((*rows)[0].state == RowState::set_aside);
  CHECK((*rows)[0].answer == "409");
  CHECK((*rows)[0].task == expected.task);
  CHECK((*rows)[0].outcome == Outcome::completed);
  CHECK((*rows)[0].at == expected.at);
  CHECK(*(*db)->body(1) == "{\"a\":\"\xc3\xa4\"}");
  CHECK((*db)->body(2).error().kind == ErrorKind::not_found);
  CHECK((*rows)[1].state == RowState::leased);
  CHECK(*(*db)->close_open_attempts() == 1);
  CHECK((*(*db)->load())[1].state == RowState::pending);
}

TEST_CASE("state db: what it cannot read is one clear error, and left as it is",
          "[node][state_db]") {
  const TempFolder dir;
  const std::filesystem::path file = dir.path / "state.db";
  std::string code;
  SECTION("no database") {
    dir.write("state.db", std::string(5000, 'x'));
    code = "state_foreign";
  }
  SECTION("another program's") {
    sql(file, "CREATE TABLE theirs (x)");
    code = "state_foreign";
  }
  SECTION("a later version's") {
    REQUIRE(StateDb::open(file).ok());
    sql(file, "PRAGMA user_version=99");
    code = "state_too_new";
  }
  SECTION("damaged") {
    {
      auto db = StateDb::open(file);
      for (RowId id = 1; id <= 50; ++id) {
        REQUIRE(write(**db, {PutRow{row(id, std::string(3000, 'b'))}}).ok());
      }
      REQUIRE((*db)->compact().ok());
    }
    std::string bytes = TempFolder::read(file);
    for (std::size_t i = 4096; i < 8192 * 3; ++i) bytes[i] = 'z';
    dir.write("state.db", bytes);
    code = "state_corrupt";
  }
  SECTION("a folder") {
    std::filesystem::create_directory(file);
    code = "state_unwritable";
  }
  SECTION("no such place") {
    const auto opened = StateDb::open(dir.path / "none" / "state.db");
    REQUIRE_FALSE(opened.ok());
    CHECK(opened.error().code == "state_unwritable");
    return;
  }
  const bool is_file = std::filesystem::is_regular_file(file);
  const std::string before = is_file ? TempFolder::read(file) : "";
  const auto opened = StateDb::open(file);
  REQUIRE_FALSE(opened.ok());
  CHECK(opened.error().code == code);
  CHECK(opened.error().detail.find(file.string()) != std::string::npos);
  if (is_file) CHECK(TempFolder::read(file) == before);
}

TEST_CASE("state db: a full disk fails the change whole, and the rest stays", "[node][state_db]") {
  const TempFolder dir;
  const std::filesystem::path file = dir.path / "state.db";
  const StateDb::Options small{.max_pages = 16};
  auto db = StateDb::open(file, small);
  REQUIRE(db.ok());
  REQUIRE(write(**db, {PutRow{row(1, "one")}}).ok());
  const Result<void> full =
      write(**db, {PutRow{row(2, "two")}, PutRow{row(3, std::string(100'000, 'x'))}});
  REQUIRE_FALSE(full.ok());
  CHECK(full.error().kind == ErrorKind::full);
  CHECK(full.error().code == "state_full");
  CHECK((*db)->load()->size() == 1);
  CHECK(write(**db, {PutRow{row(4, "four")}}).ok());
  CHECK((*db)->load()->size() == 2);
}

TEST_CASE("state db: ten thousand outcomes are loaded in two seconds, and leave nothing behind",
          "[node][state_db][gc]") {
  const TempFolder dir;
  const std::filesystem::path file = dir.path / "state.db";
  constexpr RowId kRows = 10'000;
  {
    auto db = StateDb::open(file);
    std::vector<RowChange> all;
    for (RowId id = 1; id <= kRows; ++id) all.emplace_back(PutRow{row(id, std::string(1500, 'b'))});
    REQUIRE(write(**db, std::move(all)).ok());
  }
  const auto began = std::chrono::steady_clock::now();
  auto db = StateDb::open(file);
  REQUIRE(db.ok());
  const auto rows = (*db)->load();
  CHECK((*db)->close_open_attempts().ok());
  const auto took = std::chrono::steady_clock::now() - began;
  REQUIRE(rows->size() == kRows);
  CHECK(took < std::chrono::seconds(2));
  std::vector<RowChange> gone;
  for (RowId id = 1; id <= kRows; ++id) gone.emplace_back(EraseRow{id});
  REQUIRE(write(**db, std::move(gone), Sync::lazy).ok());
  REQUIRE((*db)->compact().ok());
  std::uintmax_t left = 0;
  for (const auto& entry : std::filesystem::directory_iterator(dir.path)) left += entry.file_size();
  CHECK(left < 256 * 1024);
}

}  // namespace pn::node
