#include "node/state_journal.hpp"

#include "base/awaitable.hpp"
#include "base/ids.hpp"
#include "base/log.hpp"
#include "base/offload.hpp"
#include "base/result.hpp"
#include "node/journal.hpp"
#include "node/state_db.hpp"
#include "tests/support/temp_folder.hpp"
#include "tests/support/test_loop.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>
#include <sqlite3.h>

namespace pn::node {
namespace {

using namespace std::chrono_literals;
using pn::testing::Started;

PutRow put(RowId id, std::string body = "body") {
  JournalRow row;
  row.id = id;
  row.task = TaskId("t" + std::to_string(id));
  row.state = RowState::pending;
  row.body = std::move(body);
  return PutRow{std::move(row)};
}

struct JournalFixture {
  pn::testing::TestLoop loop;
  pn::testing::TempFolder dir;
  ThreadPool pool{"io", 1};
  std::vector<std::string> log_lines;
  log::Logger logger{log::Options{.level = log::Level::debug, .format = log::Format::text},
                     [this](log::Level, std::string_view line) { log_lines.emplace_back(line); }};
  std::unique_ptr<StateDb> database;
  std::unique_ptr<StateJournal> journal;
  std::unique_ptr<Started> writer;

  explicit JournalFixture(std::int64_t max_pages = 1 << 20) {
    const StateDb::Options options{.max_pages = max_pages};
    database = *StateDb::open(dir.path / "state.db", options);
    journal = std::make_unique<StateJournal>(loop.executor(), pool, loop.clock, logger, *database);
    writer = std::make_unique<Started>(loop, journal->run());
  }
  ~JournalFixture() {
    writer->cancel();
    wait([this] { return writer->done(); });
  }
  void wait(const std::function<bool()>& done) {
    loop.poll();
    loop.run_until(done, 5s);
  }
  Result<void> commit(RowChange change) {
    std::optional<Result<void>> out;
    const auto committing = [&]() -> Awaitable<void> {
      out = co_await journal->commit(std::move(change));
    };
    const Started started(loop, committing());
    wait([&] { return started.done(); });
    REQUIRE(out);
    return *out;
  }
  void flush() {
    const auto flush = [&]() -> Awaitable<void> {
      const Result<void> written = co_await journal->flush();
      static_cast<void>(written);
    };
    const Started flushing(loop, flush());
    wait([&] { return flushing.done(); });
    REQUIRE(flushing.done());
  }
  bool logged(std::string_view event) {
    for (const std::string& line : log_lines) {
      if (line.find(event) != std::string::npos) return true;
    }
    return false;
  }
};

}  // namespace

TEST_CASE("state journal: changes reach the disk in their order", "[node][state_db][mt]") {
  JournalFixture f;
  f.journal->post(put(1));
  f.journal->post(put(2));
  CHECK(f.commit(put(3)).ok());
  f.journal->post(EraseRow{1});
  f.flush();
  const auto rows = f.database->load();
  REQUIRE(rows->size() == 2);
  CHECK((*rows)[0].id == 2);
  CHECK((*rows)[1].id == 3);
  CHECK(f.journal->durable());
}

TEST_CASE("state journal: a hundred who wait at once share few transactions",
          "[node][state_db][mt]") {
  JournalFixture f;
  std::size_t done = 0;
  std::vector<std::unique_ptr<Started>> all;
  const auto committing = [&f, &done](RowId row) -> Awaitable<void> {
    const Result<void> result = co_await f.journal->commit(put(row));
    CHECK(result.ok());
    ++done;
  };
  for (RowId id = 1; id <= 100; ++id) {
    all.push_back(std::make_unique<Started>(f.loop, committing(id)));
  }
  f.wait([&] { return done == 100; });
  CHECK(f.database->load()->size() == 100);
}

TEST_CASE("state journal: what a full disk refuses is kept, and written when there is room",
          "[node][state_db][mt]") {
  JournalFixture f(24);
  REQUIRE(f.commit(put(1, std::string(40'000, 'x'))).ok());
  const Result<void> full = f.commit(put(2, std::string(50'000, 'y')));
  REQUIRE_FALSE(full.ok());
  CHECK(full.error().kind == ErrorKind::full);
  CHECK_FALSE(f.journal->durable());
  CHECK(f.logged("outbox.not_durable"));
  CHECK(f.database->load()->size() == 1);
  f.loop.advance(4s);
  CHECK_FALSE(f.journal->durable());

  // Somebody makes room; nobody tells the journal.
  sqlite3* other = nullptr;
  REQUIRE(sqlite3_open((f.dir.path / "state.db").c_str(), &other) == SQLITE_OK);
  CHECK(sqlite3_exec(other, "DELETE FROM attempt WHERE id = 1", nullptr, nullptr, nullptr) ==
        SQLITE_OK);
  sqlite3_close(other);
  f.loop.advance(2s);
  f.wait([&] { return f.journal->durable(); });
  CHECK(f.journal->durable());
  CHECK(f.logged("outbox.recovered"));
  CHECK(f.database->body(2)->size() == 50'000);
}

TEST_CASE("state journal: a body is read back", "[node][state_db][mt]") {
  JournalFixture f;
  REQUIRE(f.commit(put(1, "{\"x\":1}")).ok());
  std::optional<Result<std::string>> body;
  const auto reading = [&]() -> Awaitable<void> { body = co_await f.journal->body(1); };
  const Started started(f.loop, reading());
  f.wait([&] { return started.done(); });
  REQUIRE(body);
  CHECK(**body == "{\"x\":1}");
}

}  // namespace pn::node
