#include "market/sqlite.hpp"

#include "base/result.hpp"

#include <exception>
#include <filesystem>
#include <memory>

#include <soci/soci.h>
#include <soci/sqlite3/soci-sqlite3.h>

namespace pn::market {
namespace {

using namespace sqlite_api;  // NOLINT(google-build-using-namespace): SOCI wraps sqlite3.h in it

sqlite3* connection(soci::session& session) {
  return static_cast<soci::sqlite3_session_backend*>(session.get_backend())->conn_;
}

}  // namespace

std::unique_ptr<soci::session> open_session(const std::filesystem::path& file,
                                            bool synchronous_full) {
  // Quoted, or SOCI would end the path at the first blank.
  auto session = std::make_unique<soci::session>(*soci::factory_sqlite3(),
                                                 "dbname=\"" + file.string() + "\" timeout=10");
  execute(*session, "PRAGMA journal_mode=WAL");
  execute(*session, "PRAGMA foreign_keys=ON");
  execute(*session, "PRAGMA temp_store=MEMORY");
  set_synchronous(*session, synchronous_full);
  return session;
}

void set_synchronous(soci::session& session, bool full) {
  execute(session, full ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL");
}

void execute(soci::session& session, const std::string& sql) {
  char* text = nullptr;
  const int code = sqlite3_exec(connection(session), sql.c_str(), nullptr, nullptr, &text);
  if (code == SQLITE_OK) return;
  const std::string message = text != nullptr ? text : "no message";
  sqlite3_free(text);
  throw soci::sqlite3_soci_error(message, code);
}

bool in_transaction(soci::session& session) {
  return sqlite3_get_autocommit(connection(session)) == 0;
}

Error from_sqlite(const std::exception& failure) {
  const auto* sqlite = dynamic_cast<const soci::sqlite3_soci_error*>(&failure);
  const std::string what = failure.what();
  if (sqlite == nullptr) return {ErrorKind::internal, "database_error", what};
  switch (sqlite->result() & 0xff) {
    case SQLITE_FULL:
      return {ErrorKind::full,
              "database_full",
              "the disk that holds the database is full; make space and try again"};
    case SQLITE_CONSTRAINT:
      return {ErrorKind::rejected, "database_constraint", what};
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return {ErrorKind::retry, "database_busy", "another program holds the database: " + what};
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return {ErrorKind::corrupt,
              "database_corrupt",
              "the database file is damaged or is none; restore it from a backup: " + what};
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_READONLY:
      return {ErrorKind::rejected,
              "database_unwritable",
              "the database cannot be opened for writing; check the folder's owner: " + what};
    case SQLITE_IOERR:
      return {ErrorKind::internal, "database_io", what};
    default:
      return {ErrorKind::internal, "database_error", what};
  }
}

}  // namespace pn::market
