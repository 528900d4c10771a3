#include "node/sqlite.hpp"

#include "base/file.hpp"
#include "base/result.hpp"
#include "base/time.hpp"

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <sqlite3.h>

namespace pn::node {
namespace {

constexpr int kBusyMs = 5000;

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

void FinalizeStatement::operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }

void SqliteFile::Close::operator()(sqlite3* connection) const { sqlite3_close_v2(connection); }

Result<SqliteFile> SqliteFile::open(const std::filesystem::path& file) {
  const Result<void> made = make_file(file);
  if (!made) return made.error();
  SqliteFile out(file);
  sqlite3* opened = nullptr;
  const int code = sqlite3_open_v2(
      file.c_str(),
      &opened,
      SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_EXRESCODE,
      nullptr);
  out.connection_.reset(opened);
  if (code != SQLITE_OK) return out.error(code);
  sqlite3_busy_timeout(opened, kBusyMs);
  return out;
}

Error SqliteFile::error(int code) const {
  // Its message is that of its last call, and a caller may have a code of its own.
  const bool its_own = connection_ && sqlite3_extended_errcode(connection_.get()) == code;
  return from_sqlite(code, its_own ? connection_.get() : nullptr, path_);
}

Result<void> SqliteFile::execute(const std::string& sql) {
  const int code = sqlite3_exec(connection_.get(), sql.c_str(), nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return error(code);
  return {};
}

Result<Statement> SqliteFile::prepare(std::string_view sql) {
  sqlite3_stmt* made = nullptr;
  const int code =
      sqlite3_prepare_v3(connection_.get(),
                         sql.data(),  // NOLINT(bugprone-suspicious-stringview-data-usage)
                         static_cast<int>(sql.size()),
                         SQLITE_PREPARE_PERSISTENT,
                         &made,
                         nullptr);
  Statement out(made);
  if (code != SQLITE_OK) return error(code);
  return out;
}

Result<void> SqliteFile::step(sqlite3_stmt* statement) {
  const int code = sqlite3_step(statement);
  Result<void> out;
  if (code != SQLITE_DONE && code != SQLITE_ROW) out = error(code);
  sqlite3_reset(statement);
  sqlite3_clear_bindings(statement);
  return out;
}

Result<std::int64_t> SqliteFile::number(std::string_view sql) {
  Result<Statement> statement = prepare(sql);
  if (!statement) return std::move(statement).error();
  const int code = sqlite3_step(statement->get());
  if (code != SQLITE_ROW) return error(code);
  return sqlite3_column_int64(statement->get(), 0);
}

int SqliteFile::changes() const { return sqlite3_changes(connection_.get()); }

void SqliteFile::roll_back() {
  if (sqlite3_get_autocommit(connection_.get()) != 0) return;
  const Result<void> ignored = execute("ROLLBACK");
  static_cast<void>(ignored);
}

void set_number(sqlite3_stmt* statement, int at, std::int64_t value) {
  sqlite3_bind_int64(statement, at, value);
}

void set_text(sqlite3_stmt* statement, int at, std::string_view value) {
  const auto size = static_cast<sqlite3_uint64>(value.size());
  // NOLINTNEXTLINE(bugprone-suspicious-stringview-data-usage): its size goes along
  sqlite3_bind_text64(statement, at, value.data(), size, SQLITE_STATIC, SQLITE_UTF8);
}

std::string text_at(sqlite3_stmt* row, int column) {
  const void* const bytes = sqlite3_column_blob(row, column);
  const int size = sqlite3_column_bytes(row, column);
  return bytes == nullptr
             ? std::string()
             : std::string(static_cast<const char*>(bytes), static_cast<std::size_t>(size));
}

std::int64_t to_ms(SystemTime time) {
  return std::chrono::duration_cast<Millis>(time.time_since_epoch()).count();
}

SystemTime from_ms(std::int64_t ms) { return SystemTime(Millis(ms)); }

}  // namespace pn::node
