#include "base/time.hpp"

#include "base/result.hpp"

#include <string>

#include <catch2/catch.hpp>

namespace pn {

using namespace std::chrono_literals;

TEST_CASE("time: RFC 3339 in its spellings", "[base]") {
  const std::string text = GENERATE("2026-11-20T10:00:00.250Z",
                                    "2026-11-20t10:00:00.250000000z",
                                    "2026-11-20 10:00:00.25Z",
                                    "2026-11-20T12:30:00.250+02:30",
                                    "2026-11-20T09:00:00.250-01:00");
  const Result<SystemTime> parsed = parse_rfc3339(text);
  REQUIRE(parsed.ok());
  CHECK(format_rfc3339(*parsed) == "2026-11-20T10:00:00.250Z");
}

TEST_CASE("time: what is no time is refused", "[base]") {
  const std::string text = GENERATE("",
                                    "9999-12-31T23:59:59-00:01",  // is of the year 10000
                                    "2026-11-20",
                                    "2026-11-20T10:00:00",
                                    "2026-02-30T10:00:00Z",
                                    "2026-13-01T10:00:00Z",
                                    "2026-11-20T24:00:00Z",
                                    "2026-11-20T10:00:00.Z",
                                    "2026-11-20T10:00:00Zx",
                                    "2026-11-20T10:00:00+0200",
                                    "x026-11-20T10:00:00Z");
  CHECK_FALSE(parse_rfc3339(text).ok());
}

TEST_CASE("time: durations for people", "[base]") {
  CHECK(format_duration(850ms) == "850 ms");
  CHECK(format_duration(12300ms) == "12.3 s");
  CHECK(format_duration(250s) == "4 min 10 s");
  CHECK(format_duration(2h + 5min) == "2 h 5 min");
}

}  // namespace pn
