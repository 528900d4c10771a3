#pragma once

#include <compare>
#include <functional>
#include <string>
#include <utility>

namespace pn {

/// A string that names one kind of thing, so that a job's id cannot be passed where a task's is
/// meant.
///
/// Opaque: the wire calls most of them UUIDs, but a peer's id is kept as it came and compared byte
/// by byte.
template <class Tag>
class StrongId {
 public:
  StrongId() = default;
  explicit StrongId(std::string text) : text_(std::move(text)) {}

  [[nodiscard]] const std::string& str() const { return text_; }
  [[nodiscard]] bool empty() const { return text_.empty(); }

  friend bool operator==(const StrongId&, const StrongId&) = default;
  friend auto operator<=>(const StrongId&, const StrongId&) = default;

 private:
  std::string text_;
};

}  // namespace pn

template <class Tag>
struct std::hash<pn::StrongId<Tag>> {
  std::size_t operator()(const pn::StrongId<Tag>& id) const noexcept {
    return std::hash<std::string>{}(id.str());
  }
};
