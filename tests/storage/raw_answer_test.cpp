#include "storage/raw_answer.hpp"

#include "base/result.hpp"
#include "http/types.hpp"

#include <cstdint>
#include <string>

#include <catch2/catch.hpp>

namespace pn::storage {
namespace {

http::Headers headers(const std::string& range, const std::string& length = "") {
  http::Headers out;
  if (!range.empty()) out.set("Content-Range", range);
  if (!length.empty()) out.set("Content-Length", length);
  return out;
}

RawAsk from(std::uint64_t offset) {
  RawAsk ask;
  ask.from = offset;
  ask.size = 10;
  return ask;
}

std::string code(const Result<RawAnswer>& answer) {
  return answer.ok() ? "ok" : answer.error().code;
}

}  // namespace

TEST_CASE("raw answer: content ranges", "[storage][raw]") {
  const auto range = parse_content_range("bytes 2-4/10");
  REQUIRE(range);
  CHECK(*range == ContentRange{.first = 2, .last = 4, .size = 10});
  CHECK(parse_content_range("bytes 0-0/*") == ContentRange{.first = 0, .last = 0, .size = {}});
  for (const char* wrong : {"",
                            "bytes",
                            "bytes 2-4",
                            "bytes 4-2/10",
                            "bytes 2-10/10",
                            "bytes -4/10",
                            "bytes 2-/10",
                            "bytes 2-4/",
                            "bytes 2-4/x",
                            "bytes */10",
                            "bytes +2-4/10",
                            "bytes 2-99999999999999999999/*",
                            "lines 2-4/10",
                            "bytes 2/4-10"}) {
    INFO(wrong);
    CHECK_FALSE(parse_content_range(wrong));
  }
}

TEST_CASE("raw answer: what may be used for what was asked", "[storage][raw]") {
  CHECK(code(read_raw_head(200, headers("", "10"), from(0))) == "ok");
  CHECK(read_raw_head(200, headers("", "10"), from(4))->from == 0);  // anew
  CHECK(code(read_raw_head(200, headers("", "9"), from(0))) == "item_changed");
  CHECK(code(read_raw_head(200, headers(""), from(0))) == "ok");
  CHECK_FALSE(read_raw_head(200, headers(""), from(0))->framed);

  CHECK(read_raw_head(206, headers("bytes 4-9/10", "6"), from(4))->from == 4);
  CHECK(code(read_raw_head(206, headers("bytes 4-6/10", "3"), from(4))) == "ok");  // fewer: allowed
  CHECK(code(read_raw_head(206, headers("bytes 3-9/10", "7"), from(4))) == "range_wrong");
  CHECK(code(read_raw_head(206, headers("bytes 4-9/10", "5"), from(4))) == "range_wrong");
  CHECK(code(read_raw_head(206, headers("", "6"), from(4))) == "range_wrong");
  CHECK(code(read_raw_head(206, headers("bytes 0-9/10"), from(0))) == "range_wrong");  // unasked
  CHECK(code(read_raw_head(206, headers("bytes 4-10/11"), from(4))) == "item_changed");
  CHECK(code(read_raw_head(204, headers(""), from(0))) == "raw_status");
  CHECK(code(read_raw_head(203, headers(""), from(4))) == "raw_status");
}

TEST_CASE("raw answer: marks of the version", "[storage][raw]") {
  const std::string zeros = "sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:";
  http::Headers part = headers("bytes 4-9/10", "6");
  part.set("ETag", "\"a\"");
  part.set("Content-Digest", zeros);
  RawAsk ask = from(4);
  CHECK_FALSE(read_raw_head(206, part, ask)->sha256);  // of the part alone
  CHECK(read_raw_head(206, part, ask)->etag == "\"a\"");
  ask.etag = "\"a\"";
  CHECK(code(read_raw_head(206, part, ask)) == "ok");
  ask.etag = "\"b\"";
  CHECK(code(read_raw_head(206, part, ask)) == "item_changed");
  part.set("Repr-Digest", zeros);
  part.set("ETag", "W/\"a\"");
  CHECK(read_raw_head(206, part, from(4))->sha256 == std::string(32, '\0'));
  CHECK(read_raw_head(206, part, from(4))->etag.empty());
  http::Headers whole = headers("", "10");
  whole.set("Content-Digest", zeros);
  CHECK(read_raw_head(200, whole, from(4))->sha256 == std::string(32, '\0'));
}

TEST_CASE("raw answer: the digest field", "[storage][raw]") {
  const std::string zeros = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
  CHECK(sha256_of_digest_field("sha-256=:" + zeros + ":") == std::string(32, '\0'));
  CHECK(sha256_of_digest_field("sha-512=:AAAA:, sha-256=:" + zeros + ":").has_value());
  CHECK_FALSE(sha256_of_digest_field("sha-256=:AAAA:"));
  CHECK_FALSE(sha256_of_digest_field("sha-256=:" + zeros));
  CHECK_FALSE(sha256_of_digest_field("sha-256=:" + zeros.substr(1) + "!:"));
  CHECK_FALSE(sha256_of_digest_field("md5=:AAAA:"));
  CHECK_FALSE(sha256_of_digest_field(""));
}

}  // namespace pn::storage
