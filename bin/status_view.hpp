#pragma once

#include "base/json.hpp"
#include "bin/terminal.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace pn::bin {

/// A node's status (docs/reference/status.md) for a terminal: what the page shows, in the same
/// order. What is missing in it is left out.
std::string status_text(const Json& status, const Terminal& terminal);

/// "2h", "30m", "45s", "1h30m", "2d"; nothing for anything else, and for zero.
std::optional<std::chrono::seconds> parse_span(std::string_view text);
/// One of its texts, as a terminal may have it; empty where there is none.
std::string text_of(const Json& object, const char* key);

}  // namespace pn::bin
