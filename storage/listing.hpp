#pragma once

#include "base/ids.hpp"
#include "storage/domain_json.hpp"
#include "storage/ports.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <optional>
#include <utility>
#include <vector>

namespace pn::storage {

/// What a metadata list says that a query brings, and what of it is there. In the list's order. A
/// value; while an answer streams to the disk, it only reads.
class Listing final {
 public:
  struct Entry {
    DataItem item;
    std::filesystem::path path;       ///< where it goes
    std::optional<InputFile> file{};  ///< there, whole and verified
  };

  void add(Entry entry) {
    if (!by_id_.emplace(entry.item.id, entries_.size()).second) return;
    entries_.push_back(std::move(entry));
  }
  [[nodiscard]] bool empty() const { return entries_.empty(); }
  [[nodiscard]] const std::vector<Entry>& entries() const { return entries_; }
  [[nodiscard]] Entry& at(std::size_t index) { return entries_[index]; }
  [[nodiscard]] const Entry& at(std::size_t index) const { return entries_[index]; }
  [[nodiscard]] std::optional<std::size_t> find(const DataId& id) const {
    const auto found = by_id_.find(id);
    if (found == by_id_.end()) return std::nullopt;
    return found->second;
  }
  [[nodiscard]] std::vector<std::size_t> missing() const {
    std::vector<std::size_t> out;
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      if (!entries_[i].file) out.push_back(i);
    }
    return out;
  }
  /// Of all entries; the largest number there is where a server claims more.
  [[nodiscard]] std::uint64_t bytes() const {
    std::uint64_t sum = 0;
    for (const Entry& entry : entries_) {
      sum += std::min(entry.item.size, std::numeric_limits<std::uint64_t>::max() - sum);
    }
    return sum;
  }

 private:
  std::vector<Entry> entries_;
  std::map<DataId, std::size_t> by_id_;
};

/// The entry's item at its place.
inline InputFile file_of(const Listing::Entry& entry) {
  InputFile out;
  out.path = entry.path;
  out.id = entry.item.id;
  out.name = entry.item.name;
  out.data_type = entry.item.data_type;
  out.size = entry.item.size;
  return out;
}

}  // namespace pn::storage
