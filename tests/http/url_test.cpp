#include "http/url.hpp"

#include "base/result.hpp"

#include <string_view>
#include <utility>

#include <catch2/catch.hpp>

namespace pn::http {
namespace {

Url url(std::string_view text) {
  Result<Url> parsed = Url::parse(text);
  INFO(text);
  REQUIRE(parsed.ok());
  return *std::move(parsed);
}

}  // namespace

TEST_CASE("url: parses into its parts", "[http][url]") {
  const Url full = url("HTTPS://Dms.Example.org:8443/v1/Tasks?a=1&b=%20");
  CHECK(full.scheme() == "https");
  CHECK(full.host() == "dms.example.org");
  CHECK(full.port() == 8443);
  CHECK(full.path() == "/v1/Tasks");
  CHECK(full.query() == "a=1&b=%20");
  CHECK(full.origin() == "https://dms.example.org:8443");
  CHECK(full.str() == "https://dms.example.org:8443/v1/Tasks?a=1&b=%20");

  CHECK(url("http://h").str() == "http://h/");
  CHECK(url("http://h?x").str() == "http://h/?x");
  CHECK(url("http://h:80/").origin() == "http://h");
  CHECK(url("https://h:443/") == url("https://h/"));
  CHECK(url("http://h:443/").origin() == "http://h:443");
  const Url v6 = url("http://[::1]:8080/x");
  CHECK(v6.host() == "::1");
  CHECK(v6.origin() == "http://[::1]:8080");
}

TEST_CASE("url: what is no http URL is refused with its reason", "[http][url]") {
  const auto [text, reason] = GENERATE(table<const char*, const char*>({
      {"", "scheme is missing"},
      {"example.org/path", "scheme is missing"},
      {"ftp://example.org/", "not http(s)"},
      {"file:///etc/passwd", "not http(s)"},
      {"http:///path", "host is missing"},
      {"http://user:secret@example.org/", "passwords"},
      {"http://a b/", "host has a character"},
      {"http://h/\n", "percent-encoded"},
      {"http://h/a b", "percent-encoded"},
      {"http://h:0/", "port"},
      {"http://h:65536/", "port"},
      {"http://h:80x/", "port"},
      {"http://[::1/", "IPv6"},
      {"http://[zz]/", "IPv6"},
      {"http://[::1]x/", "port"},
      {"http://h/#top", "fragment"},
  }));
  const Result<Url> parsed = Url::parse(text);
  INFO(text);
  REQUIRE_FALSE(parsed.ok());
  CHECK(parsed.error().kind == ErrorKind::rejected);
  CHECK(parsed.error().code == "url_syntax");
  CHECK_THAT(parsed.error().detail, Catch::Contains(reason));
  CHECK_THAT(parsed.error().detail, !Catch::Contains("secret"));
}

TEST_CASE("url: an address with a NUL in it is none", "[http][url]") {
  const std::string text("http://[::1\0\r\nx]/", 17);
  CHECK_FALSE(Url::parse(text).ok());
}

TEST_CASE("url: segments are appended, a prefix is never dropped", "[http][url]") {
  CHECK(url("https://d/v1").append({"tasks"}).str() == "https://d/v1/tasks");
  CHECK(url("https://d/v1/").append({"tasks", "a/b c"}).str() == "https://d/v1/tasks/a%2Fb%20c");
  CHECK(url("https://d").append({"x"}).str() == "https://d/x");
  CHECK(url("https://d/?q=1").append({}).str() == "https://d/");
  CHECK(url("https://d/v1").append({"..", "x"}).str() == "https://d/v1/%2E%2E/x");
}

TEST_CASE("url: queries are encoded pair by pair", "[http][url]") {
  const Url base = url("http://h/p");
  CHECK(base.with_query("uploads", "").str() == "http://h/p?uploads");
  CHECK(base.with_query("name", "a&b=c").with_query("n", "1").str() ==
        "http://h/p?name=a%26b%3Dc&n=1");
  CHECK(base.with_path("/other?x=1").str() == "http://h/other?x=1");
}

TEST_CASE("url: parse_query decodes and keeps order and repeats", "[http][url]") {
  const QueryPairs pairs = parse_query("a=1&&b=x+y%26&a=&flag&bad=%zz");
  const QueryPairs expected{{"a", "1"}, {"b", "x y&"}, {"a", ""}, {"flag", ""}, {"bad", "%zz"}};
  CHECK(pairs == expected);
  CHECK(parse_query("").empty());
}

TEST_CASE("url: loopback is told from other hosts", "[http][url]") {
  for (const char* text : {"http://localhost/",
                           "http://a.localhost:1/",
                           "http://127.0.0.1/",
                           "http://127.9.9.9/",
                           "http://[::1]/"}) {
    CHECK(url(text).is_loopback());
  }
  for (const char* text : {"http://localhost.example.org/",
                           "http://127.0.0.1.example.org/",
                           "http://10.0.0.1/",
                           "http://[::2]/"}) {
    CHECK_FALSE(url(text).is_loopback());
  }
}

}  // namespace pn::http
