#pragma once

#include <array>
#include <cstdint>

namespace pn::runners::sfm {

/// Seven rows of five dots; bit 4 is the left one.
struct Glyph {
  char letter;
  std::array<std::uint8_t, 7> rows;
};

/// A blank for a character that is not drawn, null for a byte that takes no place (the first of a
/// UTF-8 "·").
const Glyph* find_glyph(char c);

}  // namespace pn::runners::sfm
