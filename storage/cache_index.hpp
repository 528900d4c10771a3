#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace pn::storage {

/// What is in a cache by how long ago it was used last. Pure; names no file.
class CacheIndex final {
 public:
  using UsedAt = std::chrono::nanoseconds;  ///< since 1970

  /// In place of what is known of that name.
  void put(const std::string& name, std::uint64_t size, UsedAt used);
  /// One that is not known stays so.
  void touch(const std::string& name, UsedAt used);
  void erase(const std::string& name);
  void clear();

  [[nodiscard]] bool empty() const { return entries_.empty(); }
  [[nodiscard]] std::size_t count() const { return entries_.size(); }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  /// Zero for one that is not known.
  [[nodiscard]] std::uint64_t size_of(const std::string& name) const;
  [[nodiscard]] UsedAt used(const std::string& name) const;
  /// The least recently used; of an index that is not empty.
  [[nodiscard]] const std::string& oldest() const { return by_use_.begin()->second; }
  [[nodiscard]] std::vector<std::string> oldest_first() const;
  /// A time later than every use that is known: `now`, where the clock does not say otherwise.
  [[nodiscard]] UsedAt later(UsedAt now) const;

 private:
  struct Entry {
    std::uint64_t size = 0;
    UsedAt used{};
  };
  std::map<std::string, Entry> entries_;
  std::set<std::pair<UsedAt, std::string>> by_use_;
  std::uint64_t bytes_ = 0;
};

}  // namespace pn::storage
