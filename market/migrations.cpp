#include "market/migrations.hpp"

#include "base/clock.hpp"
#include "base/digest.hpp"
#include "base/log.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "market/data_schema.hpp"
#include "market/schema.hpp"
#include "market/sqlite.hpp"

#include <array>
#include <exception>
#include <map>
#include <span>
#include <string>

#include <soci/soci.h>

namespace pn::market {
namespace {

constexpr std::array kMigrations{
    Migration{.number = 1, .name = "identity", .sql = kIdentitySchema},
    Migration{.number = 2, .name = "jobs", .sql = kJobSchema},
    Migration{.number = 3, .name = "data", .sql = kDataSchema},
    Migration{.number = 4, .name = "retries", .sql = kRetrySchema},
    Migration{.number = 5, .name = "open tasks", .sql = kOpenTasksSchema},
};

}  // namespace

std::span<const Migration> migrations() { return kMigrations; }

Result<void> migrate(soci::session& session,
                     std::span<const Migration> steps,
                     const Clock& clock,
                     const log::Logger& logger) {
  execute(session,
          "CREATE TABLE IF NOT EXISTS migrations("
          " number INTEGER PRIMARY KEY, name TEXT NOT NULL, sha256 TEXT NOT NULL,"
          " applied_at TEXT NOT NULL)");
  std::map<int, std::string> applied;
  {
    int number = 0;
    std::string digest;
    soci::statement rows = (session.prepare << "SELECT number, sha256 FROM migrations",
                            soci::into(number),
                            soci::into(digest));
    rows.execute();
    while (rows.fetch()) applied.emplace(number, digest);
  }
  if (!applied.empty() && applied.rbegin()->first > static_cast<int>(steps.size())) {
    return Error(ErrorKind::rejected,
                 "schema_newer",
                 "the database was written by a newer version (schema " +
                     std::to_string(applied.rbegin()->first) + ", this one knows " +
                     std::to_string(steps.size()) + "); start that version");
  }
  for (const Migration& step : steps) {
    const std::string digest = sha256_hex(step.sql);
    const auto known = applied.find(step.number);
    if (known != applied.end()) {
      if (known->second == digest) continue;
      return Error(ErrorKind::rejected,
                   "schema_changed",
                   "migration " + std::to_string(step.number) +
                       " is not the one this database was made with; use the program that made "
                       "it, or a new data folder");
    }
    execute(session, "BEGIN IMMEDIATE");
    try {
      execute(session, std::string(step.sql));
      const std::string name(step.name);
      const std::string now = format_rfc3339(clock.system_now());
      session << "INSERT INTO migrations(number, name, sha256, applied_at) VALUES(:n, :m, :s, :t)",
          soci::use(step.number), soci::use(name), soci::use(digest), soci::use(now);
      execute(session, "COMMIT");
    } catch (const std::exception&) {
      if (in_transaction(session)) execute(session, "ROLLBACK");
      throw;
    }
    logger.info("schema.migrated", {{"number", step.number}, {"name", step.name}});
  }
  return {};
}

}  // namespace pn::market
