#pragma once

#include "base/awaitable.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "node/receipt.hpp"

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace pn::node {

/// Names an attempt of ours: larger than that of every row that was there when it began.
using RowId = std::int64_t;

enum class RowState {
  leased = 0,     ///< no outcome yet: `body` is what is reported if we never come to one
  pending = 1,    ///< an outcome that is to be sent
  set_aside = 2,  ///< an outcome that nobody takes; kept for people
};

/// One attempt, as it stands on disk. A value.
struct JournalRow {
  RowId id = 0;
  TaskId task;
  RowState state = RowState::leased;
  Outcome outcome = Outcome::failed;
  std::string body;
  std::string trace_id{};
  SystemTime at{};       ///< of the last change of state
  std::string answer{};  ///< why it was set aside
};

/// Written whole, in place of what had its id.
struct PutRow {
  JournalRow row;
};
struct EraseRow {
  RowId id = 0;
};
/// The body stays.
struct SetRowAside {
  RowId id = 0;
  SystemTime at{};
  std::string answer{};
};
using RowChange = std::variant<PutRow, EraseRow, SetRowAside>;

/// Where the outbox keeps its rows: the seam between its rules and the disk. Changes take effect in
/// the order of the calls. What the disk does not take is kept in memory and tried again for as
/// long as the process lives. Thread: the control loop's.
class Journal {
 public:
  virtual ~Journal() = default;
  /// Soon on its way to the disk, where it survives the death of the process.
  virtual void post(RowChange change) = 0;
  /// Returns when it survives the machine's death too, or with the Error for which it does not yet.
  virtual Awaitable<Result<void>> commit(RowChange change) = 0;
  /// A row's body. Kind `not_found` when there is no such row on disk.
  virtual Awaitable<Result<std::string>> body(RowId id) = 0;
  /// False while there is something that the disk does not take.
  [[nodiscard]] virtual bool durable() const = 0;
};

}  // namespace pn::node
