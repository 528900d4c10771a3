#pragma once

#include "storage/upload_journal.hpp"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace pn::testing {

/// A journal that outlives the clients of a test, as a disk does.
class MemoryUploadJournal final : public storage::UploadJournal {
 public:
  std::atomic<bool> expects_more{true};  ///< kept()

  std::optional<storage::JournalledUpload> find(const storage::UploadKey& key) override {
    const std::lock_guard lock(mutex_);
    const auto at = entry(key);
    if (at == entries_.end()) return std::nullopt;
    return at->second;
  }
  void begin(const storage::UploadKey& key, const storage::JournalledUpload& upload) override {
    const std::lock_guard lock(mutex_);
    std::erase_if(entries_, [&](const auto& one) { return one.first == key; });
    entries_.emplace_back(key, upload);
  }
  void part(const storage::UploadKey& key,
            const std::string& upload_id,
            const storage::JournalledPart& part) override {
    const std::lock_guard lock(mutex_);
    const auto at = entry(key);
    if (at == entries_.end() || at->second.upload_id != upload_id) return;
    auto& parts = at->second.parts;
    std::erase_if(parts, [&](const auto& one) { return one.number == part.number; });
    parts.push_back(part);
  }
  void end(const storage::UploadKey& key, const std::string& upload_id) override {
    const std::lock_guard lock(mutex_);
    std::erase_if(entries_, [&](const auto& one) {
      return one.first == key && one.second.upload_id == upload_id;
    });
  }
  [[nodiscard]] bool kept() const override { return expects_more; }

  /// The one entry; empty when there is none.
  [[nodiscard]] storage::JournalledUpload only() {
    const std::lock_guard lock(mutex_);
    return entries_.size() == 1 ? entries_.front().second : storage::JournalledUpload();
  }
  [[nodiscard]] std::size_t size() {
    const std::lock_guard lock(mutex_);
    return entries_.size();
  }
  /// Changes what is noted, for what an earlier life may have left.
  template <class F>
  void change(F f) {
    const std::lock_guard lock(mutex_);
    for (auto& [key, upload] : entries_) f(upload);
  }

 private:
  using Entries = std::vector<std::pair<storage::UploadKey, storage::JournalledUpload>>;
  Entries::iterator entry(const storage::UploadKey& key) {
    return std::ranges::find_if(entries_, [&](const auto& one) { return one.first == key; });
  }

  std::mutex mutex_;
  Entries entries_;
};

}  // namespace pn::testing
