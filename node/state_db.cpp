#include "node/state_db.hpp"

#include "base/file.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "node/journal.hpp"
#include "node/receipt.hpp"

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <fcntl.h>
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

using Connection = std::unique_ptr<sqlite3, decltype(&sqlite3_close_v2)>;
using Statement = std::unique_ptr<sqlite3_stmt, decltype(&sqlite3_finalize)>;

/// The one place that knows SQLite's codes.
Error from_sqlite(int code, sqlite3* connection, const std::filesystem::path& file) {
  const std::string what =
      connection != nullptr ? sqlite3_errmsg(connection) : sqlite3_errstr(code);
  const std::string where = file.string();
  switch (code & 0xff) {
    case SQLITE_FULL:
      return {ErrorKind::full, "state_full", "no space for " + where + ": make room on that disk"};
    case SQLITE_CORRUPT:
      return {ErrorKind::rejected,
              "state_corrupt",
              where + " is damaged (" + what +
                  "): restore it, or move it away and lose the outcomes in it that were not "
                  "delivered"};
    case SQLITE_NOTADB:
      return {ErrorKind::rejected,
              "state_foreign",
              where + " is no state of a node: move it away, or choose another STATE_DIR"};
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_READONLY:
      return {ErrorKind::rejected,
              "state_unwritable",
              where + " cannot be written (" + what + "): check its owner, its mode and its disk"};
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return {ErrorKind::retry, "state_busy", where + " is held by another program: " + what};
    default:
      return {ErrorKind::internal, "state_io", where + " cannot be used: " + what};
  }
}

std::int64_t to_ms(SystemTime time) {
  return std::chrono::duration_cast<Millis>(time.time_since_epoch()).count();
}

SystemTime from_ms(std::int64_t ms) { return SystemTime(Millis(ms)); }

std::string text(sqlite3_stmt* row, int column) {
  const void* const bytes = sqlite3_column_blob(row, column);
  const int size = sqlite3_column_bytes(row, column);
  return bytes == nullptr
             ? std::string()
             : std::string(static_cast<const char*>(bytes), static_cast<std::size_t>(size));
}

void set_number(sqlite3_stmt* statement, int at, std::int64_t value) {
  sqlite3_bind_int64(statement, at, value);
}

/// Borrowed until the statement is reset.
void set_text(sqlite3_stmt* statement, int at, std::string_view value) {
  const auto size = static_cast<sqlite3_uint64>(value.size());
  // NOLINTNEXTLINE(bugprone-suspicious-stringview-data-usage): its size goes along
  sqlite3_bind_text64(statement, at, value.data(), size, SQLITE_STATIC, SQLITE_UTF8);
}

/// A file of our mode, so that SQLite does not make one of its own; what it adds takes after it.
Result<void> make_file(const std::filesystem::path& file) {
  const UniqueFd made(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (made) return {};
  const Error why = from_errno(errno, "cannot open " + file.string());
  if (why.kind == ErrorKind::full) return why;
  return Error(ErrorKind::rejected,
               "state_unwritable",
               why.detail + ": check its owner, its mode and its disk");
}

}  // namespace

struct StateDb::Impl {
  explicit Impl(std::filesystem::path f) : file(std::move(f)) {}

  [[nodiscard]] Error error(int code) const { return from_sqlite(code, connection.get(), file); }

  Result<void> execute(const char* sql) {
    const int code = sqlite3_exec(connection.get(), sql, nullptr, nullptr, nullptr);
    if (code != SQLITE_OK) return error(code);
    return {};
  }

  Result<Statement> prepare(const char* sql) {
    sqlite3_stmt* made = nullptr;
    const int code =
        sqlite3_prepare_v3(connection.get(), sql, -1, SQLITE_PREPARE_PERSISTENT, &made, nullptr);
    Statement out(made, &sqlite3_finalize);
    if (code != SQLITE_OK) return error(code);
    return out;
  }

  /// Runs a statement that answers no row, and makes it ready for the next time.
  Result<void> step(sqlite3_stmt* statement) {
    const int code = sqlite3_step(statement);
    Result<void> out;
    if (code != SQLITE_DONE && code != SQLITE_ROW) out = error(code);
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return out;
  }

  Result<std::int64_t> number(const char* sql) {
    Result<Statement> statement = prepare(sql);
    if (!statement) return std::move(statement).error();
    const int code = sqlite3_step(statement->get());
    if (code != SQLITE_ROW) return error(code);
    return sqlite3_column_int64(statement->get(), 0);
  }

  Result<void> set_up(const Options& options);
  Result<void> migrate();
  Result<void> check();
  Result<void> prepare_all();
  Result<void> apply(const RowChange& change);

  const std::filesystem::path file;
  std::mutex mutex;
  Connection connection{nullptr, &sqlite3_close_v2};
  Statement put{nullptr, &sqlite3_finalize};
  Statement erase{nullptr, &sqlite3_finalize};
  Statement set_aside{nullptr, &sqlite3_finalize};
  Statement read_body{nullptr, &sqlite3_finalize};
  Sync sync = Sync::durable;
};

StateDb::StateDb(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
StateDb::~StateDb() = default;

Result<std::unique_ptr<StateDb>> StateDb::open(const std::filesystem::path& file, Options options) {
  const Result<void> made = make_file(file);
  if (!made) return made.error();
  auto impl = std::make_unique<Impl>(file);
  sqlite3* opened = nullptr;
  const int code = sqlite3_open_v2(
      file.c_str(),
      &opened,
      SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_EXRESCODE,
      nullptr);
  impl->connection.reset(opened);
  if (code != SQLITE_OK) return impl->error(code);
  const Result<void> ready = impl->set_up(options);
  if (!ready) return ready.error();
  return std::unique_ptr<StateDb>(new StateDb(std::move(impl)));
}

Result<void> StateDb::Impl::set_up(const Options& options) {
  sqlite3_busy_timeout(connection.get(), 5000);
  Result<void> done = check();
  if (done) done = execute("PRAGMA auto_vacuum=INCREMENTAL");
  if (done) done = execute("PRAGMA journal_mode=WAL");
  if (done) done = execute("PRAGMA synchronous=FULL");
  // Small, because the node's outcomes are: the log stays below a MiB, also after a crash.
  if (done) done = execute("PRAGMA wal_autocheckpoint=128");
  if (done) done = execute("PRAGMA journal_size_limit=65536");
  if (done) done = execute("PRAGMA cache_size=-256");
  if (done) done = execute("PRAGMA temp_store=MEMORY");
  if (done) {
    done = execute(("PRAGMA max_page_count=" + std::to_string(options.max_pages)).c_str());
  }
  if (done) done = migrate();
  if (done) done = prepare_all();
  return done;
}

/// Whose file it is, and whether it is whole, before a byte of it is changed.
Result<void> StateDb::Impl::check() {
  const Result<std::int64_t> owner = number("PRAGMA application_id");
  if (!owner) return owner.error();
  const Result<std::int64_t> tables = number("SELECT count(*) FROM sqlite_schema");
  if (!tables) return tables.error();
  if (*owner != kApplicationId && (*owner != 0 || *tables != 0)) {
    return from_sqlite(SQLITE_NOTADB, nullptr, file);
  }
  const Result<std::int64_t> version = number("PRAGMA user_version");
  if (!version) return version.error();
  if (*version > kVersion) {
    return Error(ErrorKind::rejected,
                 "state_too_new",
                 file.string() + " was written by a later posenode (state version " +
                     std::to_string(*version) + ", this one knows " + std::to_string(kVersion) +
                     "): run that one, or choose another STATE_DIR");
  }
  Result<Statement> look = prepare("PRAGMA quick_check(1)");
  if (!look) return std::move(look).error();
  const int code = sqlite3_step(look->get());
  if (code != SQLITE_ROW) return error(code);
  const std::string found = text(look->get(), 0);
  if (found == "ok") return {};
  Error damaged = from_sqlite(SQLITE_CORRUPT, nullptr, file);
  damaged.detail += " [" + found + "]";
  return damaged;
}

Result<void> StateDb::Impl::migrate() {
  const Result<std::int64_t> version = number("PRAGMA user_version");
  if (!version) return version.error();
  if (*version == kVersion) return {};
  const std::string sql = "BEGIN IMMEDIATE;" + std::string(kSchema) +
                          "PRAGMA application_id=" + std::to_string(kApplicationId) +
                          ";PRAGMA user_version=" + std::to_string(kVersion) + ";COMMIT";
  Result<void> done = execute(sql.c_str());
  if (!done && sqlite3_get_autocommit(connection.get()) == 0) {
    const Result<void> ignored = execute("ROLLBACK");
    static_cast<void>(ignored);
  }
  return done;
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
    Result<Statement> made = prepare(sql);
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
    return step(put.get());
  }
  if (const auto* gone = std::get_if<EraseRow>(&change)) {
    set_number(erase.get(), 1, gone->id);
    return step(erase.get());
  }
  const auto& aside = std::get<SetRowAside>(change);
  set_number(set_aside.get(), 1, aside.id);
  set_number(set_aside.get(), 2, to_ms(aside.at));
  set_text(set_aside.get(), 3, aside.answer);
  return step(set_aside.get());
}

Result<std::vector<JournalRow>> StateDb::load() {
  const std::lock_guard lock(impl_->mutex);
  Result<Statement> rows = impl_->prepare(
      "SELECT id, task, state, outcome, at_ms, trace_id, answer FROM attempt ORDER BY id");
  if (!rows) return std::move(rows).error();
  std::vector<JournalRow> out;
  int code = SQLITE_ROW;
  while ((code = sqlite3_step(rows->get())) == SQLITE_ROW) {
    JournalRow row;
    row.id = sqlite3_column_int64(rows->get(), 0);
    row.task = TaskId(text(rows->get(), 1));
    row.state = static_cast<RowState>(sqlite3_column_int(rows->get(), 2));
    row.outcome = static_cast<Outcome>(sqlite3_column_int(rows->get(), 3));
    row.at = from_ms(sqlite3_column_int64(rows->get(), 4));
    row.trace_id = text(rows->get(), 5);
    row.answer = text(rows->get(), 6);
    out.push_back(std::move(row));
  }
  if (code != SQLITE_DONE) return impl_->error(code);
  return out;
}

Result<std::string> StateDb::body(RowId id) {
  const std::lock_guard lock(impl_->mutex);
  sqlite3_stmt* const read = impl_->read_body.get();
  set_number(read, 1, id);
  const int code = sqlite3_step(read);
  Result<std::string> out = std::string();
  if (code == SQLITE_ROW) {
    out = text(read, 0);
  } else if (code == SQLITE_DONE) {
    out = Error(ErrorKind::not_found, "no_such_row", "there is no outcome " + std::to_string(id));
  } else {
    out = impl_->error(code);
  }
  sqlite3_reset(read);
  return out;
}

Result<void> StateDb::write(std::span<const RowChange* const> changes, Sync sync) {
  const std::lock_guard lock(impl_->mutex);
  if (sync != impl_->sync) {
    const Result<void> set = impl_->execute(sync == Sync::durable ? "PRAGMA synchronous=FULL"
                                                                  : "PRAGMA synchronous=NORMAL");
    if (!set) return set.error();
    impl_->sync = sync;
  }
  Result<void> done = impl_->execute("BEGIN IMMEDIATE");
  for (const RowChange* change : changes) {
    if (!done) break;
    done = impl_->apply(*change);
  }
  if (done) done = impl_->execute("COMMIT");
  // SQLite ends a transaction by itself on some failures.
  if (!done && sqlite3_get_autocommit(impl_->connection.get()) == 0) {
    const Result<void> ignored = impl_->execute("ROLLBACK");
    static_cast<void>(ignored);
  }
  return done;
}

Result<std::size_t> StateDb::close_open_attempts() {
  const std::lock_guard lock(impl_->mutex);
  const Result<void> done = impl_->execute("UPDATE attempt SET state = 1 WHERE state = 0");
  if (!done) return done.error();
  return static_cast<std::size_t>(sqlite3_changes(impl_->connection.get()));
}

Result<void> StateDb::compact() {
  const std::lock_guard lock(impl_->mutex);
  const Result<void> done = impl_->execute("PRAGMA incremental_vacuum");
  if (!done) return done.error();
  return impl_->execute("PRAGMA wal_checkpoint(TRUNCATE)");
}

}  // namespace pn::node
