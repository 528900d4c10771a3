#include "node/state_db.hpp"

#include "base/result.hpp"
#include "base/time.hpp"
#include "node/journal.hpp"
#include "node/receipt.hpp"
#include "node/sqlite.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <sqlite3.h>

namespace pn::node {
namespace {

/// "psnd": what tells our file from another program's.
constexpr int kApplicationId = 0x70736e64;
constexpr int kVersion = 1;

/// One step a version, each run once. Frozen: a new version is a new step.
constexpr const char* kSchema = R"(
  CREATE TABLE attempt (
    id INTEGER PRIMARY KEY,
    task TEXT NOT NULL,
    state INTEGER NOT NULL,    -- 0 leased, 1 pending, 2 set aside
    outcome INTEGER NOT NULL,  -- 0 completed, 1 failed
    at_ms INTEGER NOT NULL,
    trace_id TEXT NOT NULL,
    answer TEXT NOT NULL,
    body BLOB NOT NULL
  );
)";

}  // namespace

struct StateDb::Impl {
  explicit Impl(SqliteFile f) : file(std::move(f)) {}

  Result<void> set_up(const Options& options);
  Result<void> migrate();
  Result<void> check();
  Result<void> prepare_all();
  Result<void> apply(const RowChange& change);

  SqliteFile file;
  std::mutex mutex;
  Statement put;
  Statement erase;
  Statement set_aside;
  Statement read_body;
  Sync sync = Sync::durable;
};

StateDb::StateDb(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
StateDb::~StateDb() = default;

Result<std::unique_ptr<StateDb>> StateDb::open(const std::filesystem::path& file, Options options) {
  Result<SqliteFile> opened = SqliteFile::open(file);
  if (!opened) return std::move(opened).error();
  auto impl = std::make_unique<Impl>(*std::move(opened));
  const Result<void> ready = impl->set_up(options);
  if (!ready) return ready.error();
  return std::unique_ptr<StateDb>(new StateDb(std::move(impl)));
}

Result<void> StateDb::Impl::set_up(const Options& options) {
  Result<void> done = check();
  if (done) done = file.execute("PRAGMA auto_vacuum=INCREMENTAL");
  if (done) done = file.execute("PRAGMA journal_mode=WAL");
  if (done) done = file.execute("PRAGMA synchronous=FULL");
  // Small, because the node's outcomes are: the log stays below a MiB, also after a crash.
  if (done) done = file.execute("PRAGMA wal_autocheckpoint=128");
  if (done) done = file.execute("PRAGMA journal_size_limit=65536");
  if (done) done = file.execute("PRAGMA cache_size=-256");
  if (done) done = file.execute("PRAGMA temp_store=MEMORY");
  if (done) done = file.execute("PRAGMA max_page_count=" + std::to_string(options.max_pages));
  if (done) done = migrate();
  if (done) done = prepare_all();
  return done;
}

/// Whose file it is, and whether it is whole, before a byte of it is changed.
Result<void> StateDb::Impl::check() {
  const Result<std::int64_t> owner = file.number("PRAGMA application_id");
  if (!owner) return owner.error();
  const Result<std::int64_t> tables = file.number("SELECT count(*) FROM sqlite_schema");
  if (!tables) return tables.error();
  if (*owner != kApplicationId && (*owner != 0 || *tables != 0)) {
    return file.error(SQLITE_NOTADB);
  }
  const Result<std::int64_t> version = file.number("PRAGMA user_version");
  if (!version) return version.error();
  if (*version > kVersion) {
    return Error(ErrorKind::rejected,
                 "state_too_new",
                 file.path().string() + " was written by a later posenode (state version " +
                     std::to_string(*version) + ", this one knows " + std::to_string(kVersion) +
                     "): run that one, or choose another STATE_DIR");
  }
  Result<Statement> look = file.prepare("PRAGMA quick_check(1)");
  if (!look) return std::move(look).error();
  const int code = sqlite3_step(look->get());
  if (code != SQLITE_ROW) return file.error(code);
  const std::string found = text_at(look->get(), 0);
  if (found == "ok") return {};
  Error damaged = file.error(SQLITE_CORRUPT);
  damaged.detail += " [" + found + "]";
  return damaged;
}

Result<void> StateDb::Impl::migrate() {
  const Result<std::int64_t> version = file.number("PRAGMA user_version");
  if (!version) return version.error();
  if (*version == kVersion) return {};
  const std::string sql = std::string(kSchema) +
                          "PRAGMA application_id=" + std::to_string(kApplicationId) +
                          ";PRAGMA user_version=" + std::to_string(kVersion);
  return file.transact([&] { return file.execute(sql); });
}

Result<void> StateDb::Impl::prepare_all() {
  const std::pair<Statement*, const char*> all[] = {
      {&put,
       "INSERT OR REPLACE INTO attempt (id, task, state, outcome, at_ms, trace_id, answer, body) "
       "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"},
      {&erase, "DELETE FROM attempt WHERE id = ?1"},
      {&set_aside, "UPDATE attempt SET state = 2, at_ms = ?2, answer = ?3 WHERE id = ?1"},
      {&read_body, "SELECT body FROM attempt WHERE id = ?1"},
  };
  for (const auto& [into, sql] : all) {
    Result<Statement> made = file.prepare(sql);
    if (!made) return std::move(made).error();
    *into = *std::move(made);
  }
  return {};
}

Result<void> StateDb::Impl::apply(const RowChange& change) {
  if (const auto* whole = std::get_if<PutRow>(&change)) {
    const JournalRow& row = whole->row;
    set_number(put.get(), 1, row.id);
    set_text(put.get(), 2, row.task.str());
    set_number(put.get(), 3, static_cast<std::int64_t>(row.state));
    set_number(put.get(), 4, static_cast<std::int64_t>(row.outcome));
    set_number(put.get(), 5, to_ms(row.at));
    set_text(put.get(), 6, row.trace_id);
    set_text(put.get(), 7, row.answer);
    set_text(put.get(), 8, row.body);
    return file.step(put.get());
  }
  if (const auto* gone = std::get_if<EraseRow>(&change)) {
    set_number(erase.get(), 1, gone->id);
    return file.step(erase.get());
  }
  const auto& aside = std::get<SetRowAside>(change);
  set_number(set_aside.get(), 1, aside.id);
  set_number(set_aside.get(), 2, to_ms(aside.at));
  set_text(set_aside.get(), 3, aside.answer);
  return file.step(set_aside.get());
}

Result<std::vector<JournalRow>> StateDb::load() {
  const std::lock_guard lock(impl_->mutex);
  Result<Statement> rows = impl_->file.prepare(
      "SELECT id, task, state, outcome, at_ms, trace_id, answer FROM attempt ORDER BY id");
  if (!rows) return std::move(rows).error();
  std::vector<JournalRow> out;
  int code = SQLITE_ROW;
  while ((code = sqlite3_step(rows->get())) == SQLITE_ROW) {
    JournalRow row;
    row.id = sqlite3_column_int64(rows->get(), 0);
    row.task = TaskId(text_at(rows->get(), 1));
    row.state = static_cast<RowState>(sqlite3_column_int(rows->get(), 2));
    row.outcome = static_cast<Outcome>(sqlite3_column_int(rows->get(), 3));
    row.at = from_ms(sqlite3_column_int64(rows->get(), 4));
    row.trace_id = text_at(rows->get(), 5);
    row.answer = text_at(rows->get(), 6);
    out.push_back(std::move(row));
  }
  if (code != SQLITE_DONE) return impl_->file.error(code);
  return out;
}

Result<std::string> StateDb::body(RowId id) {
  const std::lock_guard lock(impl_->mutex);
  sqlite3_stmt* const read = impl_->read_body.get();
  set_number(read, 1, id);
  const int code = sqlite3_step(read);
  Result<std::string> out = std::string();
  if (code == SQLITE_ROW) {
    out = text_at(read, 0);
  } else if (code == SQLITE_DONE) {
    out = Error(ErrorKind::not_found, "no_such_row", "there is no outcome " + std::to_string(id));
  } else {
    out = impl_->file.error(code);
  }
  sqlite3_reset(read);
  return out;
}

Result<void> StateDb::write(std::span<const RowChange* const> changes, Sync sync) {
  const std::lock_guard lock(impl_->mutex);
  if (sync != impl_->sync) {
    const Result<void> set = impl_->file.execute(
        sync == Sync::durable ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL");
    if (!set) return set.error();
    impl_->sync = sync;
  }
  return impl_->file.transact([&] {
    Result<void> done;
    for (const RowChange* change : changes) {
      if (done) done = impl_->apply(*change);
    }
    return done;
  });
}

Result<std::size_t> StateDb::close_open_attempts() {
  const std::lock_guard lock(impl_->mutex);
  const Result<void> done = impl_->file.execute("UPDATE attempt SET state = 1 WHERE state = 0");
  if (!done) return done.error();
  return static_cast<std::size_t>(impl_->file.changes());
}

Result<void> StateDb::compact() {
  const std::lock_guard lock(impl_->mutex);
  const Result<void> done = impl_->file.execute("PRAGMA incremental_vacuum");
  if (!done) return done.error();
  return impl_->file.execute("PRAGMA wal_checkpoint(TRUNCATE)");
}

}  // namespace pn::node
