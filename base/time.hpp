#pragma once

#include "base/result.hpp"

#include <chrono>
#include <string>
#include <string_view>

namespace pn {

using SystemTime = std::chrono::time_point<std::chrono::system_clock, std::chrono::microseconds>;
using SteadyTime = std::chrono::steady_clock::time_point;
using Millis = std::chrono::milliseconds;

/// RFC 3339 with milliseconds in UTC: "2026-11-20T10:00:00.250Z". Years 1970 to 9999.
std::string format_rfc3339(SystemTime time);

/// Any RFC 3339 time: fractions of any length, "Z" or an offset, lower-case "t" and "z", a space
/// for the "T". Kind `corrupt` for anything else.
Result<SystemTime> parse_rfc3339(std::string_view text);

/// "850 ms", "12.3 s", "4 min 10 s": for people, never for machines.
std::string format_duration(std::chrono::nanoseconds duration);

}  // namespace pn
