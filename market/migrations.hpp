#pragma once

#include "base/clock.hpp"
#include "base/log.hpp"
#include "base/result.hpp"

#include <span>
#include <string_view>

namespace soci {
class session;
}

namespace pn::market {

/// One step of the schema. Numbers count from 1 without a gap; once released, neither the order nor
/// a statement of it ever changes (a start compares the SHA-256 of each).
struct Migration {
  int number = 0;
  std::string_view name;
  std::string_view sql;
};

/// All of them, in order. Append here, each with its file's own statements.
std::span<const Migration> migrations();

/// Applies what is missing, each in a transaction. Kind `rejected`: the file is of a newer market
/// ("schema_newer"), or a released step was changed ("schema_changed"). Throws soci_error.
Result<void> migrate(soci::session& session,
                     std::span<const Migration> steps,
                     const Clock& clock,
                     const log::Logger& logger);

}  // namespace pn::market
