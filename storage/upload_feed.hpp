#pragma once

#include "base/awaitable.hpp"
#include "storage/domain_json.hpp"
#include "storage/file_body.hpp"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>

namespace pn::storage {

/// Where an upload goes: under a name and type that a domain holds once.
struct UploadTarget {
  std::string name;
  std::string data_type;
  /// The record to update, as it was seen before: no look-up, where its digest shows that it has
  /// other bytes or there is none.
  std::optional<DataItem> existing{};
  enum class Resume { yes, no };
  /// Whether a later upload may take up what this one leaves.
  Resume resume = Resume::yes;
};

/// What an upload sends, whether it is all there or still being written.
class UploadFeed {
 public:
  virtual ~UploadFeed() = default;
  [[nodiscard]] virtual const Content& content() const = 0;
  /// Nothing while the end is not known.
  [[nodiscard]] virtual std::optional<std::uint64_t> size() const = 0;
  /// How many of `wanted` bytes there are from `offset` on: all of them, or fewer at the end. Waits
  /// until that is known. One caller at a time.
  virtual Awaitable<std::uint64_t> available(std::uint64_t offset, std::uint64_t wanted) = 0;
  /// Ends the wait that is under way with what there is.
  virtual void wake() = 0;
};

/// A file or bytes that are all there.
class WholeFeed final : public UploadFeed {
 public:
  /// Outlives it.
  explicit WholeFeed(const Content& content) : content_(content) {}

  [[nodiscard]] const Content& content() const override { return content_; }
  [[nodiscard]] std::optional<std::uint64_t> size() const override { return content_.size(); }
  Awaitable<std::uint64_t> available(std::uint64_t offset, std::uint64_t wanted) override {
    co_return std::min(wanted, content_.size() - std::min(offset, content_.size()));
  }
  void wake() override {}

 private:
  const Content& content_;
};

}  // namespace pn::storage
