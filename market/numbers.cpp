#include "market/numbers.hpp"

#include "base/result.hpp"
#include "http/server.hpp"

#include <charconv>
#include <string>
#include <string_view>
#include <system_error>

namespace pn::market {

Result<int> query_number(
    const http::ServerRequest& request, std::string_view key, int low, int high, int fallback) {
  const auto text = request.query_value(key);
  if (!text || text->empty()) return fallback;
  int value = 0;
  const char* const end = text->data() + text->size();
  const auto [at, code] = std::from_chars(text->data(), end, value);
  if (code == std::errc() && at == end && value >= low && value <= high) return value;
  return Error(ErrorKind::rejected,
               "query",
               std::string(key) + " must be a whole number from " + std::to_string(low) + " to " +
                   std::to_string(high));
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

}  // namespace pn::market
