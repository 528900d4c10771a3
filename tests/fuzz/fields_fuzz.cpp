#include "base/result.hpp"
#include "base/time.hpp"
#include "http/client.hpp"
#include "http/types.hpp"
#include "market/data_ranges.hpp"
#include "tests/fuzz/fuzz.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

// First byte: the size of what is asked for. The rest: Range, If-None-Match, Retry-After, Date, an
// RFC 3339 time, and the answer that an error is made of.
namespace pn {
namespace {

using fuzz::require;

void check_range(std::string_view text, std::uint64_t size) {
  const market::RangeAnswer answer = market::parse_range(text, size);
  switch (answer.kind) {
    case market::RangeKind::whole:
      require(answer.range.offset == 0 && answer.range.size == size, "the whole is all of it");
      break;
    case market::RangeKind::part: {
      require(answer.range.size > 0 && answer.range.offset < size, "a part has bytes");
      require(answer.range.size <= size - answer.range.offset, "a part lies inside");
      const std::uint64_t last = answer.range.offset + answer.range.size - 1;
      const std::string again =
          "bytes=" + std::to_string(answer.range.offset) + "-" + std::to_string(last);
      const market::RangeAnswer same = market::parse_range(again, size);
      require(same.kind == answer.kind && same.range == answer.range, "a range is read back");
      break;
    }
    case market::RangeKind::unsatisfiable:
      require(text.find('-') != std::string_view::npos, "only a range can lie outside");
      break;
  }
}

void check_retry_after(std::string_view text) {
  const SystemTime now(std::chrono::seconds(1'764'000'000));
  http::Headers headers;
  headers.set("Retry-After", text);
  const auto wait = http::retry_after(headers, now);
  if (wait) {
    require(*wait >= std::chrono::milliseconds(0) && *wait <= std::chrono::hours(24),
            "nobody is sent away for more than a day");
  }
  http::Response response;
  response.status = 503;
  response.headers = headers;
  response.headers.set("Date", text);
  response.body = text;
  const Error error = http::from_http_status(response);
  require(error.kind == ErrorKind::retry && error.code == "http_503", "a 503 is tried again");
  require(!error.after || *error.after <= std::chrono::hours(24), "within a day");
  require(error.detail.size() < 400, "an error is a line");
  for (const char c : error.detail) {
    require(static_cast<unsigned char>(c) >= 0x20 && c != 0x7F, "without control characters");
  }
}

void check_times(std::string_view text) {
  const Result<SystemTime> time = parse_rfc3339(text);
  if (!time.ok()) {
    require(time.error().kind == ErrorKind::corrupt, "a bad time is the sender's fault");
    return;
  }
  if (*time < SystemTime()) return;  // written from 1970 on
  const std::string written = format_rfc3339(*time);
  const Result<SystemTime> again = parse_rfc3339(written);
  require(again.ok(), "a time is read back");
  require(std::chrono::abs(*again - *time) < std::chrono::milliseconds(1), "as it was");
  require(format_rfc3339(*again) == written, "to the millisecond");
}

}  // namespace
}  // namespace pn

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace pn;
  fuzz::Input input(data, size);
  const unsigned choice = input.byte();
  const std::string_view text = input.rest();
  const std::uint64_t whole = choice == 255 ? ~std::uint64_t{0} : choice;
  check_range(text, whole);
  check_retry_after(text);
  check_times(text);
  const std::string etag = "\"" + std::to_string(choice) + "\"";
  fuzz::require(!market::etag_matches(text, etag) || text.find(etag) != std::string_view::npos ||
                    text.find('*') != std::string_view::npos,
                "an ETag that matches is named");
  const std::string more = std::string(text) + "," + etag;
  fuzz::require(market::etag_matches(more, etag), "an ETag that is named matches");
  return 0;
}
