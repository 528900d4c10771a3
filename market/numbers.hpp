#pragma once

#include "base/result.hpp"
#include "http/server.hpp"

#include <string_view>

namespace pn::market {

// How handlers read the texts of a request.

/// A whole number of the query from `low` to `high`; `fallback` when absent or empty. Kind
/// `rejected`, code "query", naming the key.
Result<int> query_number(
    const http::ServerRequest& request, std::string_view key, int low, int high, int fallback);

/// Without blanks and tabs at its ends.
std::string_view trimmed(std::string_view text);

}  // namespace pn::market
