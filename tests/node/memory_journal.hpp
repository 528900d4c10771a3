#pragma once

#include "base/awaitable.hpp"
#include "base/result.hpp"
#include "node/journal.hpp"

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace pn::node::testing {

/// A journal that answers at once, and outlives the node that writes it when a test wants that.
class MemoryJournal final : public Journal {
 public:
  std::map<RowId, JournalRow> rows;
  std::optional<Error> failure;  ///< of every write; what is refused is forgotten
  int unreadable = 0;            ///< how many of the next reads fail for the moment

  void post(RowChange change) override {
    if (!failure) apply(std::move(change));
  }
  Awaitable<Result<void>> commit(RowChange change) override {
    if (failure) co_return *failure;
    apply(std::move(change));
    co_return Result<void>();
  }
  Awaitable<Result<std::string>> body(RowId id) override {
    if (unreadable > 0) {
      --unreadable;
      co_return Error(ErrorKind::retry, "state_busy", "somebody else is at it");
    }
    const auto at = rows.find(id);
    if (at == rows.end()) co_return Error(ErrorKind::not_found, "no_such_row", "gone");
    co_return at->second.body;
  }
  [[nodiscard]] bool durable() const override { return !failure; }

  /// What a node that starts now reads: bodies stay here.
  [[nodiscard]] std::vector<JournalRow> load() {
    std::vector<JournalRow> out;
    for (auto& [id, row] : rows) {
      out.push_back(row);
      out.back().body.clear();
      if (row.state == RowState::leased) row.state = RowState::pending;
    }
    return out;
  }

 private:
  void apply(RowChange change) {
    if (auto* whole = std::get_if<PutRow>(&change)) {
      const RowId id = whole->row.id;
      rows.insert_or_assign(id, std::move(whole->row));
    } else if (const auto* gone = std::get_if<EraseRow>(&change)) {
      rows.erase(gone->id);
    } else {
      const auto& aside = std::get<SetRowAside>(change);
      const auto at = rows.find(aside.id);
      if (at == rows.end()) return;
      at->second.state = RowState::set_aside;
      at->second.answer = aside.answer;
      at->second.at = aside.at;
    }
  }
};

}  // namespace pn::node::testing
