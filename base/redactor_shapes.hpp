#pragma once

#include "base/redactor.hpp"

#include <cstddef>
#include <string_view>

namespace pn {

/// Where a secret's shape that begins at some place ends, and what is to be hidden of it.
struct Shape {
  std::size_t hide = 0;  ///< where that begins
  std::size_t end = 0;   ///< 0: there is none
};

/// A Redactor's first net: what looks like a secret at `at`. Pure.
Shape secret_shape(std::string_view text, std::size_t at, Redactor::Hex hex);

/// "password", "X-Amz-Signature", "apiKey": whose value is hidden.
bool is_secret_name(std::string_view name);

}  // namespace pn
