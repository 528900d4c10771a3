#include "http/client.hpp"

#include "base/json.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "http/types.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <curl/curl.h>
#include <nlohmann/json.hpp>

namespace pn::http {
namespace {

constexpr std::size_t kDetailLimit = 200;
constexpr std::chrono::hours kLongestWait{24};

ErrorKind kind_of(int status) {
  switch (status) {
    case 401:
      return ErrorKind::unauthorized;
    case 404:
    case 410:
      return ErrorKind::not_found;
    case 408:
    case 425:
    case 429:
      return ErrorKind::retry;
    case 507:
      return ErrorKind::full;
    default:
      break;
  }
  if (status >= 500 && status < 600) return ErrorKind::retry;
  if (status >= 400 && status < 500) return ErrorKind::rejected;
  return ErrorKind::corrupt;
}

/// One line that is safe in a log and on a terminal: control characters become spaces, runs of
/// spaces one, and the cut, which "..." shows, does not split a UTF-8 character.
std::string printable(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool control = static_cast<unsigned char>(c) < 0x20 || c == 0x7F;
    if (!control && c != ' ') {
      out += c;
    } else if (!out.empty() && out.back() != ' ') {
      out += ' ';
    }
    if (out.size() > kDetailLimit) break;
  }
  const bool longer = out.size() > kDetailLimit;
  if (longer) {
    std::size_t cut = kDetailLimit;
    while (cut > 0 && (static_cast<unsigned char>(out[cut]) & 0xC0U) == 0x80U) --cut;
    out.resize(cut);
  }
  if (out.ends_with(' ')) out.pop_back();
  // Without it the redactor would not know that a secret was cut in two.
  if (longer) out += "...";
  return out;
}

std::string message_of(const Response& response) {
  const Result<Json> parsed = parse_json(response.body);
  if (parsed.ok() && parsed->is_object()) {
    const auto error = parsed->find("error");
    if (error != parsed->end() && error->is_object()) {
      const auto message = error->find("message");
      if (message != error->end() && message->is_string()) {
        return printable(message->get_ref<const std::string&>());
      }
    }
  }
  return printable(std::string_view(response.body).substr(0, 4 * kDetailLimit));
}

std::optional<SystemTime> parse_http_date(std::string_view text) {
  // libcurl takes years that no clock of ours can tell: those of RFC 9110 have four digits.
  constexpr std::chrono::sys_seconds kEnd =
      std::chrono::sys_days(std::chrono::year(10'000) / 1 / 1);
  const std::time_t seconds = curl_getdate(std::string(text).c_str(), nullptr);
  if (seconds < 0 || seconds >= kEnd.time_since_epoch().count()) return std::nullopt;
  return SystemTime(std::chrono::seconds(seconds));
}

}  // namespace

Error from_http_status(const Response& response) {
  const std::string message = message_of(response);
  std::string detail = "the server answered " + std::to_string(response.status);
  if (!message.empty()) detail += ": " + message;
  Error error(
      kind_of(response.status), "http_" + std::to_string(response.status), std::move(detail));
  if (error.kind == ErrorKind::retry) {
    // A date in Retry-After is the server's time, so it is compared with the server's clock.
    const SystemTime now = server_date(response.headers).value_or(SystemTime());
    error.after = retry_after(response.headers, now);
  }
  return error;
}

std::optional<SystemTime> server_date(const Headers& headers) {
  const auto date = headers.find("date");
  return date ? parse_http_date(*date) : std::nullopt;
}

std::optional<std::chrono::milliseconds> retry_after(const Headers& headers, SystemTime now) {
  const auto value = headers.find("retry-after");
  if (!value || value->empty()) return std::nullopt;
  if (value->front() >= '0' && value->front() <= '9') {
    std::uint32_t seconds = 0;
    const char* last = value->data() + value->size();
    // NOLINTNEXTLINE(bugprone-suspicious-stringview-data-usage): it takes both ends
    const auto [end, failed] = std::from_chars(value->data(), last, seconds);
    if (failed != std::errc() || end != last) return std::nullopt;
    const std::chrono::seconds wait(seconds);
    if (wait > kLongestWait) return std::nullopt;
    return wait;
  }
  const std::optional<SystemTime> at = parse_http_date(*value);
  if (!at || *at - now > kLongestWait) return std::nullopt;
  return std::max(std::chrono::duration_cast<std::chrono::milliseconds>(*at - now),
                  std::chrono::milliseconds(0));
}

}  // namespace pn::http
