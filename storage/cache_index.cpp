#include "storage/cache_index.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace pn::storage {

void CacheIndex::put(const std::string& name, std::uint64_t size, UsedAt used) {
  erase(name);
  entries_.emplace(name, Entry{.size = size, .used = used});
  by_use_.emplace(used, name);
  bytes_ += size;
}

void CacheIndex::touch(const std::string& name, UsedAt used) {
  const auto found = entries_.find(name);
  if (found == entries_.end()) return;
  by_use_.erase({found->second.used, name});
  found->second.used = used;
  by_use_.emplace(used, name);
}

void CacheIndex::erase(const std::string& name) {
  const auto found = entries_.find(name);
  if (found == entries_.end()) return;
  by_use_.erase({found->second.used, name});
  bytes_ -= found->second.size;
  entries_.erase(found);
}

void CacheIndex::clear() {
  entries_.clear();
  by_use_.clear();
  bytes_ = 0;
}

std::uint64_t CacheIndex::size_of(const std::string& name) const {
  const auto found = entries_.find(name);
  return found == entries_.end() ? 0 : found->second.size;
}

CacheIndex::UsedAt CacheIndex::used(const std::string& name) const {
  const auto found = entries_.find(name);
  return found == entries_.end() ? UsedAt(0) : found->second.used;
}

std::vector<std::string> CacheIndex::oldest_first() const {
  std::vector<std::string> out;
  out.reserve(by_use_.size());
  for (const auto& [used, name] : by_use_) out.push_back(name);
  return out;
}

CacheIndex::UsedAt CacheIndex::later(UsedAt now) const {
  if (by_use_.empty()) return now;
  // Microseconds: not every file system keeps more.
  return std::max(now, by_use_.rbegin()->first + std::chrono::microseconds(1));
}

}  // namespace pn::storage
