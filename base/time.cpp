#include "base/time.hpp"

#include "base/result.hpp"

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string_view>

namespace pn {
namespace {

/// Reads exactly `digits` decimal digits at `at`; -1 when they are not there.
int digits_at(std::string_view text, std::size_t at, std::size_t digits) {
  if (at + digits > text.size()) return -1;
  int value = 0;
  for (std::size_t i = at; i < at + digits; ++i) {
    if (text[i] < '0' || text[i] > '9') return -1;
    value = value * 10 + (text[i] - '0');
  }
  return value;
}

bool char_at(std::string_view text, std::size_t at, std::string_view any_of) {
  return at < text.size() && any_of.find(text[at]) != std::string_view::npos;
}

Error not_a_time() { return {ErrorKind::corrupt, "time_syntax", "not an RFC 3339 time"}; }

}  // namespace

std::string format_rfc3339(SystemTime time) {
  using std::chrono::floor;
  const auto day = floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(floor<Millis>(time - day));
  std::array<char, 40> out{};
  std::snprintf(out.data(),
                out.size(),
                "%04d-%02u-%02uT%02d:%02d:%02d.%03dZ",
                static_cast<int>(date.year()),
                static_cast<unsigned>(date.month()),
                static_cast<unsigned>(date.day()),
                static_cast<int>(clock.hours().count()),
                static_cast<int>(clock.minutes().count()),
                static_cast<int>(clock.seconds().count()),
                static_cast<int>(clock.subseconds().count()));
  return out.data();
}

Result<SystemTime> parse_rfc3339(std::string_view text) {
  const int year = digits_at(text, 0, 4);
  const int month = digits_at(text, 5, 2);
  const int day = digits_at(text, 8, 2);
  const int hour = digits_at(text, 11, 2);
  const int minute = digits_at(text, 14, 2);
  const int second = digits_at(text, 17, 2);
  const bool shaped = char_at(text, 4, "-") && char_at(text, 7, "-") && char_at(text, 10, "Tt ") &&
                      char_at(text, 13, ":") && char_at(text, 16, ":");
  if (!shaped || year < 0 || month < 1 || day < 1 || hour < 0 || hour > 23 || minute < 0 ||
      minute > 59 || second < 0 || second > 60) {
    return not_a_time();
  }
  const std::chrono::year_month_day date{std::chrono::year(year),
                                         std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok()) return not_a_time();

  std::size_t at = 19;
  std::int64_t micros = 0;
  if (char_at(text, at, ".")) {
    std::int64_t scale = 100'000;
    const std::size_t first = ++at;
    for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at) {
      micros += (text[at] - '0') * scale;
      scale /= 10;
    }
    if (at == first) return not_a_time();
  }

  std::chrono::minutes offset{0};
  if (char_at(text, at, "Zz")) {
    ++at;
  } else if (char_at(text, at, "+-") && char_at(text, at + 3, ":")) {
    const int hours = digits_at(text, at + 1, 2);
    const int minutes = digits_at(text, at + 4, 2);
    if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) return not_a_time();
    offset = std::chrono::hours(hours) + std::chrono::minutes(minutes);
    if (text[at] == '-') offset = -offset;
    at += 6;
  } else {
    return not_a_time();
  }
  if (at != text.size()) return not_a_time();
  const SystemTime time = SystemTime(std::chrono::sys_days(date)) + std::chrono::hours(hour) +
                          std::chrono::minutes(minute) + std::chrono::seconds(second) +
                          std::chrono::microseconds(micros) - offset;
  // An offset may lead past the last year that a time can be written in.
  constexpr auto kEnd = std::chrono::sys_days(std::chrono::year(10'000) / 1 / 1);
  if (time >= kEnd) return not_a_time();
  return time;
}

std::string format_duration(std::chrono::nanoseconds duration) {
  const double seconds = std::chrono::duration<double>(duration).count();
  std::array<char, 40> out{};
  if (seconds < 1.0) {
    std::snprintf(out.data(), out.size(), "%.0f ms", seconds * 1000);
  } else if (seconds < 60.0) {
    std::snprintf(out.data(), out.size(), "%.1f s", seconds);
  } else if (seconds < 3600.0) {
    const int whole = static_cast<int>(seconds);
    std::snprintf(out.data(), out.size(), "%d min %d s", whole / 60, whole % 60);
  } else {
    const int minutes = static_cast<int>(seconds / 60);
    std::snprintf(out.data(), out.size(), "%d h %d min", minutes / 60, minutes % 60);
  }
  return out.data();
}

}  // namespace pn
