#pragma once

#include "base/result.hpp"

#include <exception>
#include <filesystem>
#include <memory>
#include <string>

namespace soci {
class session;
}

namespace pn::market {

// What only SQLite knows: the one place that reaches past SOCI to the C interface.

/// Opens with WAL, foreign keys and a busy time-out. Throws soci_error.
std::unique_ptr<soci::session> open_session(const std::filesystem::path& file,
                                            bool synchronous_full);

/// Whether commits wait for the disk. Not inside a transaction. Throws soci_error.
void set_synchronous(soci::session& session, bool full);

/// Runs any number of statements without parameters. Throws soci_error.
void execute(soci::session& session, const std::string& sql);

/// Whether BEGIN still holds: SQLite ends a transaction by itself on some failures.
bool in_transaction(soci::session& session);

/// See from_soci() in database.hpp.
Error from_sqlite(const std::exception& failure);

}  // namespace pn::market
