#include "market/database.hpp"

#include "base/awaitable.hpp"
#include "base/result.hpp"
#include "market/migrations.hpp"
#include "market/sqlite.hpp"
#include "tests/support/fake_clock.hpp"
#include "tests/support/temp_folder.hpp"
#include "tests/support/test_loop.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>
#include <soci/soci.h>
#include <stdlib.h>

namespace pn::market {
namespace {
using testing::TestLoop;

struct Opened {
  // Blanks and "=", because SOCI parses its connection string.
  pn::testing::TempFolder folder{"pn db=x "};
  TestLoop loop;
  std::unique_ptr<Database> database;

  Opened() { reopen(); }
  void reopen() {
    database.reset();
    auto opened = Database::open(folder.path / "m.sqlite", loop.clock, {});
    REQUIRE(opened.ok());
    database = std::move(*opened);
  }
  int count() {
    const auto counting = [](soci::session& s) -> Result<int> {
      int n = 0;
      s << "SELECT count(*) FROM bootstrap", soci::into(n);
      return n;
    };
    return *loop.run(database->read<int>(counting));
  }
};

Result<int> insert(soci::session& session, const std::string& kind) {
  session << "INSERT INTO bootstrap(kind, name, hash) VALUES(:k, '', '')", soci::use(kind);
  return 1;
}

/// Starts a write that is not awaited yet.
Awaitable<void> write_one(Database& database,
                          std::function<Result<int>(soci::session&)> work,
                          std::vector<Result<int>>& out,
                          std::size_t at) {
  out[at] = co_await database.write<int>(work);
}

}  // namespace

TEST_CASE("database: a write is there after reopening", "[market][db][mt]") {
  Opened db;
  const auto one =
      db.loop.run(db.database->write<int>([](soci::session& s) { return insert(s, "a"); }));
  CHECK(one.ok());
  CHECK(db.count() == 1);
  db.reopen();
  CHECK(db.count() == 1);
}

TEST_CASE("database: writes that wait together share a commit; one that fails undoes only itself",
          "[market][db][mt]") {
  Opened db;
  constexpr std::size_t kWrites = 40;
  std::vector<Result<int>> out(kWrites, Result<int>(0));
  // Holds the writer until all others wait.
  std::atomic<bool> go{false};
  std::vector<std::unique_ptr<testing::Started>> started;
  const auto before = db.database->commits();
  for (std::size_t i = 0; i < kWrites; ++i) {
    const auto work = [&, i](soci::session& s) -> Result<int> {
      while (i == 0 && !go) std::this_thread::yield();
      auto done = insert(s, "k" + std::to_string(i));
      if (i == 7) return Error(ErrorKind::rejected, "mine", "no");
      if (i == 8) static_cast<void>(insert(s, "k8"));  // the same key again: SOCI throws
      return done;
    };
    started.push_back(
        std::make_unique<testing::Started>(db.loop, write_one(*db.database, work, out, i)));
    db.loop.poll();
  }
  go = true;
  const auto all_done = [&] {
    for (const auto& s : started) {
      if (!s->done()) return false;
    }
    return true;
  };
  while (!all_done()) {
    db.loop.poll();
    std::this_thread::yield();
  }
  for (std::size_t i = 0; i < kWrites; ++i) {
    INFO(i);
    if (i == 7) {
      CHECK(out[i].error().code == "mine");
    } else if (i == 8) {
      CHECK(out[i].error().code == "database_constraint");
      CHECK(out[i].error().kind == ErrorKind::rejected);
    } else {
      CHECK(out[i].ok());
    }
  }
  CHECK(db.count() == static_cast<int>(kWrites) - 2);
  // One when the writer thread came late enough to take them all at once.
  CHECK(db.database->commits() - before <= 2);
}

TEST_CASE("database: an exception of the work is rethrown on the loop and undone",
          "[market][db][mt]") {
  Opened db;
  const auto work = [](soci::session& s) -> Result<int> {
    static_cast<void>(insert(s, "a"));
    throw std::runtime_error("bug");
  };
  CHECK_THROWS_WITH(db.loop.run(db.database->write<int>(work)), "bug");
  CHECK(db.count() == 0);
}

TEST_CASE("database: a cancelled writer still waits for its work", "[market][db][mt]") {
  Opened db;
  std::atomic<bool> go{false};
  std::vector<Result<int>> out(1, Result<int>(0));
  const auto work = [&](soci::session& s) -> Result<int> {
    while (!go) std::this_thread::yield();
    return insert(s, "a");
  };
  testing::Started started(db.loop, write_one(*db.database, work, out, 0));
  db.loop.poll();
  started.cancel();
  db.loop.poll();
  CHECK_FALSE(started.done());
  go = true;
  while (!started.done()) db.loop.poll();
  CHECK(db.count() == 1);
}

TEST_CASE("database: a reader may not write", "[market][db][mt]") {
  Opened db;
  const auto got =
      db.loop.run(db.database->read<int>([](soci::session& s) { return insert(s, "a"); }));
  CHECK_FALSE(got.ok());
  CHECK(db.count() == 0);
}

TEST_CASE("database: a file that is no database is named", "[market][db]") {
  pn::testing::TempFolder folder{"pn db=x "};
  testing::FakeClock clock;
  std::ofstream(folder.path / "m.sqlite") << std::string(4096, 'x');
  const auto opened = Database::open(folder.path / "m.sqlite", clock, {});
  REQUIRE_FALSE(opened.ok());
  CHECK(opened.error().kind == ErrorKind::corrupt);
}

TEST_CASE("database: a durable write waits for the disk, the others do not", "[market][db][mt]") {
  Opened db;
  const std::function<Result<int>(soci::session&)> mode = [](soci::session& s) -> Result<int> {
    int now = 0;
    s << "PRAGMA synchronous", soci::into(now);
    return now;
  };
  constexpr int kNormal = 1;
  constexpr int kFull = 2;
  CHECK(*db.loop.run(db.database->write<int>(mode)) == kNormal);
  CHECK(*db.loop.run(db.database->write<int>(mode, Durable::yes)) == kFull);
  CHECK(db.database->durable_commits() == 1);
  CHECK(*db.loop.run(db.database->write<int>(mode)) == kNormal);
  CHECK(db.database->durable_commits() == 1);
}

TEST_CASE("migrations: numbered without a gap, applied once, never changed", "[market][db]") {
  int expected = 1;
  for (const Migration& step : migrations()) CHECK(step.number == expected++);

  pn::testing::TempFolder folder{"pn db=x "};
  testing::FakeClock clock;
  const auto session = open_session(folder.path / "m.sqlite", false);
  const std::array first{Migration{1, "one", "CREATE TABLE a(x INTEGER)"}};
  const std::array second{Migration{1, "one", "CREATE TABLE a(x INTEGER)"},
                          Migration{2, "two", "CREATE TABLE b(x INTEGER); CREATE TABLE c(x)"}};
  const std::array changed{Migration{1, "one", "CREATE TABLE a(y INTEGER)"}, second[1]};
  const std::array broken{
      second[0], second[1], Migration{3, "three", "CREATE TABLE d(x); CREATE TABLE a(x)"}};
  CHECK(migrate(*session, first, clock, {}).ok());
  CHECK(migrate(*session, second, clock, {}).ok());
  CHECK(migrate(*session, second, clock, {}).ok());
  CHECK(migrate(*session, first, clock, {}).error().code == "schema_newer");
  CHECK(migrate(*session, changed, clock, {}).error().code == "schema_changed");
  CHECK_THROWS_AS(migrate(*session, broken, clock, {}), soci::soci_error);
  int tables = 0;
  *session << "SELECT count(*) FROM sqlite_master WHERE name IN ('b', 'c', 'd')",
      soci::into(tables);
  CHECK(tables == 2);
}

}  // namespace pn::market
