#include "http/multipart.hpp"

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

namespace pn::http {
namespace {

using Delimit = MultipartReader::Delimit;
using What = MultipartReader::What;

struct Part {
  PartHeader header;
  std::string body;
  bool ended = false;
};

struct Read {
  std::vector<Part> parts;
  bool ended = false;
  std::string error;  // the code
};

/// Feeds `pieces` in order and gathers what comes out.
Read read_pieces(const std::vector<std::string>& pieces, Delimit how, std::string boundary = "B") {
  MultipartReader reader(std::move(boundary), how);
  Read out;
  for (const std::string& piece : pieces) {
    const std::string lent = piece;  // its own memory, so that a stale view is seen by ASan
    reader.feed(lent);
    for (bool more = true; more;) {
      const auto event = reader.next();
      if (!event) {
        out.error = event.error().code;
        return out;
      }
      switch (event->what) {
        case What::part:
          out.parts.push_back({reader.part(), {}, false});
          break;
        case What::data:
          REQUIRE_FALSE(out.parts.empty());
          CHECK_FALSE(event->data.empty());
          out.parts.back().body += event->data;
          break;
        case What::part_end:
          out.parts.back().ended = true;
          break;
        case What::end:
          out.ended = true;
          more = false;
          break;
        case What::need_input:
          more = false;
          break;
      }
    }
  }
  const auto finished = reader.finish();
  if (!finished) out.error = finished.error().code;
  return out;
}

Read read_whole(const std::string& body, Delimit how, std::string boundary = "B") {
  return read_pieces({body}, how, std::move(boundary));
}

std::string part(std::string_view parameters, std::string_view payload, std::string_view eol) {
  std::string out = "--B";
  out.append(eol).append("Content-Type: application/octet-stream").append(eol);
  out.append("Content-Disposition: form-data; ").append(parameters).append(eol).append(eol);
  out.append(payload).append(eol);
  return out;
}

const std::string kHostile =
    "line\r\n--B-not\r\n--\r\n-\r\n\n--Bx\n\r\r\n--BB--\r\nend";  // none of it ends the part

void check_same(const Read& read, const std::vector<std::string>& bodies) {
  CHECK(read.error.empty());
  CHECK(read.ended);
  REQUIRE(read.parts.size() == bodies.size());
  for (std::size_t i = 0; i < bodies.size(); ++i) {
    CHECK(read.parts[i].body == bodies[i]);
    CHECK(read.parts[i].ended);
  }
}

}  // namespace

TEST_CASE("multipart: every split of the body reads the same", "[http][multipart]") {
  const Delimit how = GENERATE(Delimit::by_size, Delimit::by_boundary);
  const std::string eol = GENERATE("\r\n", "\n");
  const auto sized = [](std::string_view payload) {
    return "name=\"n\"; size=\"" + std::to_string(payload.size()) + "\"";
  };
  const std::vector<std::string> bodies{
      kHostile, "", "abc", "\r\n", "\n--", eol == "\n" ? "a\r\r " : "a\r"};
  std::string body = "preamble\r\n--no\r\n";
  for (const auto& one : bodies) body += part(sized(one), one, eol);
  body += "--B--" + eol + "epilogue --B\r\n";

  check_same(read_whole(body, how), bodies);
  for (std::size_t cut = 1; cut < body.size(); ++cut) {
    CAPTURE(cut);
    check_same(read_pieces({body.substr(0, cut), body.substr(cut)}, how), bodies);
  }
  for (std::size_t step = 1; step < 8; ++step) {
    CAPTURE(step);
    std::vector<std::string> pieces;
    for (std::size_t at = 0; at < body.size(); at += step) pieces.push_back(body.substr(at, step));
    check_same(read_pieces(pieces, how), bodies);
  }
}

TEST_CASE("multipart: a payload with the boundary in it is taken by its size",
          "[http][multipart]") {
  const std::string payload = "x\r\n--B\r\n\r\n--B--\r\ny";
  const std::string body = part("name=n; size=" + std::to_string(payload.size()), payload, "\r\n") +
                           closing_delimiter("B");
  for (std::size_t cut = 1; cut < body.size(); ++cut) {
    check_same(read_pieces({body.substr(0, cut), body.substr(cut)}, Delimit::by_size), {payload});
  }
}

TEST_CASE("multipart: a body that contradicts itself is corrupt", "[http][multipart]") {
  const std::string end = "--B--\r\n";
  struct Case {
    std::string name;
    std::string body;
    Delimit how;
    std::string code;
  };
  const auto c = GENERATE_COPY(values<Case>({
      {"no size", part("name=n", "abc", "\r\n") + end, Delimit::by_size, "multipart_size_missing"},
      {"size no number", part("size=3x", "abc", "\r\n") + end, Delimit::by_size, "multipart_size"},
      {"negative size", part("size=-3", "abc", "\r\n") + end, Delimit::by_size, "multipart_size"},
      {"empty size", part("size=\"\"", "", "\r\n") + end, Delimit::by_size, "multipart_size"},
      {"size over 64 bits",
       part("size=99999999999999999999", "abc", "\r\n") + end,
       Delimit::by_size,
       "multipart_size"},
      {"size too small", part("size=2", "abc", "\r\n") + end, Delimit::by_size, "multipart_size"},
      {"size too large by one",
       part("size=4", "abc", "\r\n") + end,
       Delimit::by_size,
       "multipart_size"},
      {"size beyond the end",
       part("size=400", "abc", "\r\n") + end,
       Delimit::by_size,
       "multipart_truncated"},
      {"ends in the payload", part("size=3", "ab", ""), Delimit::by_size, "multipart_truncated"},
      {"ends before the delimiter",
       part("size=3", "abc", "\r\n"),
       Delimit::by_size,
       "multipart_truncated"},
      {"ends in the delimiter",
       part("size=3", "abc", "\r\n") + "--B-",
       Delimit::by_size,
       "multipart_truncated"},
      {"by boundary: no end",
       part("name=n", "abc", "\r\n"),
       Delimit::by_boundary,
       "multipart_truncated"},
      {"ends in the header", "--B\r\nContent-Type: a", Delimit::by_boundary, "multipart_truncated"},
      {"empty body", "", Delimit::by_boundary, "multipart_truncated"},
      {"another boundary",
       "--C\r\n\r\nx\r\n--C--\r\n",
       Delimit::by_boundary,
       "multipart_truncated"},
      {"a header line without a colon",
       "--B\r\nnonsense\r\n\r\nx\r\n--B--",
       Delimit::by_boundary,
       "multipart_header"},
      {"an endless header",
       "--B\r\nX: " + std::string(17 * 1024, 'a'),
       Delimit::by_boundary,
       "multipart_header_limit"},
  }));
  CAPTURE(c.name);
  CHECK(read_whole(c.body, c.how).error == c.code);
  std::vector<std::string> bytes;
  for (const char byte : c.body) bytes.emplace_back(1, byte);
  CHECK(read_pieces(bytes, c.how).error == c.code);
}

TEST_CASE("multipart: an error stays", "[http][multipart]") {
  MultipartReader reader("B", Delimit::by_size);
  reader.feed("--B\r\n\r\nabc");
  REQUIRE(reader.next().error().code == "multipart_size_missing");
  reader.feed("--B--\r\n");
  CHECK(reader.next().error().code == "multipart_size_missing");
  CHECK(reader.finish().error().code == "multipart_size_missing");
}

TEST_CASE("multipart: no part at all is an answer too", "[http][multipart]") {
  const Read read = read_whole("--B--\r\n", Delimit::by_size);
  CHECK(read.error.empty());
  CHECK(read.ended);
  CHECK(read.parts.empty());
}

TEST_CASE("multipart: part headers in every dress", "[http][multipart]") {
  const auto read = [](std::string_view header) {
    const Read got =
        read_whole("--B  \r\n" + std::string(header) + "\r\n\r\nx\r\n--B--", Delimit::by_boundary);
    REQUIRE(got.error.empty());
    REQUIRE(got.parts.size() == 1);
    return got.parts[0].header;
  };
  SECTION("case of names, order of fields, unquoted values") {
    const PartHeader part =
        read("CONTENT-disposition:form-data;NAME=scan ; Data-Type=\"t\"\r\ncontent-TYPE: a/b");
    CHECK(part.get("name") == "scan");
    CHECK(part.get("data-type") == "t");
    CHECK(part.content_type == "a/b");
    CHECK(part.get("id").empty());
  }
  SECTION("escapes, semicolons and equals signs in quotes") {
    const PartHeader part =
        read(R"(Content-Disposition: form-data; name="a\"b\\c;d=e"; size="7"; filename*=UTF-8''x)");
    CHECK(part.get("name") == "a\"b\\c;d=e");
    CHECK(part.size().value() == 7);
    CHECK(part.disposition.size() == 2);
  }
  SECTION("a folded line") {
    const PartHeader part = read("Content-Disposition: form-data;\r\n  name=\"n\";\r\n\tid=\"7\"");
    CHECK(part.get("name") == "n");
    CHECK(part.get("id") == "7");
  }
  SECTION("a quote that never closes, a repeated name, a name without a value") {
    CHECK(read("Content-Disposition: form-data; name=\"ab").get("name") == "ab");
    CHECK(read("Content-Disposition: form-data; x; name=a; name=b").get("name") == "a");
  }
}

TEST_CASE("multipart: what part_head writes is what is read", "[http][multipart]") {
  const std::string head =
      part_head("B", "text/plain", {{"name", "a\"b\\c\r\nX: y"}, {"size", "2"}});
  CHECK(head ==
        "--B\r\nContent-Type: text/plain\r\n"
        "Content-Disposition: form-data; name=\"a\\\"b\\\\cX: y\"; size=\"2\"\r\n\r\n");
  const Read read = read_whole(head + "hi\r\n" + closing_delimiter("B"), Delimit::by_size);
  check_same(read, {"hi"});
  CHECK(read.parts[0].header.get("name") == "a\"b\\cX: y");
  CHECK(read.parts[0].header.content_type == "text/plain");
  CHECK(read.parts[0].header.content_digest.empty());
}

TEST_CASE("multipart: a part may carry its digest", "[http][multipart]") {
  const std::string head = part_head("B", "text/plain", {{"size", "2"}}, "sha-256=:AAAA=:");
  CHECK(head.ends_with("; size=\"2\"\r\nContent-Digest: sha-256=:AAAA=:\r\n\r\n"));
  const Read read = read_whole(head + "hi\r\n" + closing_delimiter("B"), Delimit::by_size);
  CHECK(read.parts[0].header.content_digest == "sha-256=:AAAA=:");
}

TEST_CASE("multipart: the boundary of a content type", "[http][multipart]") {
  CHECK(MultipartReader::boundary_of("multipart/form-data; boundary=boundary").value() ==
        "boundary");
  CHECK(MultipartReader::boundary_of("Multipart/Form-Data; charset=x; Boundary=\"a b\"").value() ==
        "a b");
  for (const auto* wrong :
       {"application/json",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "",
        "multipart/form-data; boundary=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}) {
    CAPTURE(wrong);
    CHECK_FALSE(MultipartReader::boundary_of(wrong).ok());
  }
}

}  // namespace pn::http
