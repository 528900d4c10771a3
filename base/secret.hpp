#pragma once

#include <utility>

namespace pn {

/// A value that must never be printed: no formatter, no stream operator, no comparison. `reveal()`
/// is the one way to it, so a search for that word finds every use.
template <class T>
class Secret {
 public:
  Secret() = default;
  explicit Secret(T value) : value_(std::move(value)) {}

  [[nodiscard]] const T& reveal() const { return value_; }

 private:
  T value_{};
};

}  // namespace pn
