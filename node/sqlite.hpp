#pragma once

#include "base/result.hpp"
#include "base/time.hpp"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

struct sqlite3;
struct sqlite3_stmt;

namespace pn::node {

struct FinalizeStatement {
  void operator()(sqlite3_stmt* statement) const;
};
using Statement = std::unique_ptr<sqlite3_stmt, FinalizeStatement>;

/// One connection to a file of STATE_DIR. Errors: kind `rejected`, code "state_foreign",
/// "state_corrupt", "state_unwritable"; kind `full`, code "state_full"; kind `retry`, code
/// "state_busy"; else kind `internal`, code "state_io". Everything blocks. Thread: one at a time.
class SqliteFile final {
 public:
  /// Makes the file (mode 0600) where there is none; nothing of it is read yet. Waits up to 5 s for
  /// another connection.
  static Result<SqliteFile> open(const std::filesystem::path& file);
  SqliteFile(SqliteFile&&) noexcept = default;
  SqliteFile& operator=(SqliteFile&&) noexcept = default;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  /// What `code` means for this file.
  [[nodiscard]] Error error(int code) const;
  Result<void> execute(const std::string& sql);
  /// In one transaction, or with an Error not at all.
  template <class F>
  Result<void> transact(F steps) {
    Result<void> done = execute("BEGIN IMMEDIATE");
    if (done) done = steps();
    if (done) done = execute("COMMIT");
    if (!done) roll_back();
    return done;
  }
  Result<Statement> prepare(std::string_view sql);
  /// Runs a statement that answers no row, and makes it ready for the next time.
  Result<void> step(sqlite3_stmt* statement);
  /// The first column of the first row.
  Result<std::int64_t> number(std::string_view sql);
  /// Rows that the last statement changed.
  [[nodiscard]] int changes() const;

 private:
  struct Close {
    void operator()(sqlite3* connection) const;
  };
  explicit SqliteFile(std::filesystem::path path) : path_(std::move(path)) {}
  /// Unless SQLite has done so by itself, as on some failures.
  void roll_back();

  std::filesystem::path path_;
  std::unique_ptr<sqlite3, Close> connection_;
};

void set_number(sqlite3_stmt* statement, int at, std::int64_t value);
/// Borrowed until the statement is reset.
void set_text(sqlite3_stmt* statement, int at, std::string_view value);
std::string text_at(sqlite3_stmt* row, int column);

/// How times stand in columns whose names end in _ms.
std::int64_t to_ms(SystemTime time);
SystemTime from_ms(std::int64_t ms);

}  // namespace pn::node
