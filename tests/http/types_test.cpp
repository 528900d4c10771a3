#include "http/types.hpp"

#include "base/awaitable.hpp"
#include "base/result.hpp"
#include "http/body.hpp"
#include "tests/support/test_loop.hpp"

#include <array>
#include <cstddef>

#include <catch2/catch.hpp>

namespace pn::http {

TEST_CASE("types: methods have their wire names", "[http]") {
  CHECK(name(Method::get) == "GET");
  CHECK(name(Method::del) == "DELETE");
  for (const Method method :
       {Method::get, Method::head, Method::post, Method::put, Method::patch, Method::del}) {
    CHECK(parse_method(name(method)) == method);
  }
  CHECK_FALSE(parse_method("get"));
  CHECK_FALSE(parse_method("TRACE"));
}

TEST_CASE("types: header names compare without case, set replaces every one", "[http]") {
  Headers headers;
  headers.add("Accept", "a");
  headers.add("X-Other", "o");
  headers.add("accept", "b");
  CHECK(headers.find("ACCEPT") == "a");
  headers.set("aCCept", "c");
  CHECK(headers.all().size() == 2);
  CHECK(headers.find("accept") == "c");
  CHECK_FALSE(headers.find("accep"));
}

TEST_CASE("types: a value cannot smuggle in another header", "[http]") {
  Headers headers;
  headers.set("X-Name", "good\r\nAuthorization: Bearer x");
  headers.add("X-Two\nX-Three", "\t padded \n");
  CHECK(headers.find("X-Name") == "good");
  CHECK(headers.find("X-Two") == "padded");
  CHECK(headers.all().size() == 2);
}

TEST_CASE("types: media_type drops parameters and case", "[http]") {
  CHECK(media_type("Application/JSON; charset=utf-8") == "application/json");
  CHECK(media_type(" multipart/form-data ;boundary=x") == "multipart/form-data");
  CHECK(media_type("").empty());
}

TEST_CASE("body: a string source gives its bytes in the reader's pieces and again", "[http]") {
  testing::TestLoop loop;
  StringSource source("hello");
  CHECK(source.size() == 5);
  const auto body = [&]() -> Awaitable<std::string> {
    std::string out;
    for (;;) {
      std::array<char, 2> buffer{};
      const Result<std::size_t> got = co_await source.read(buffer);
      if (*got == 0) co_return out;
      out.append(buffer.data(), *got);
    }
  };
  CHECK(loop.run(body()) == "hello");
  CHECK(loop.run(body()).empty());
  REQUIRE(source.rewind());
  CHECK(loop.run(body()) == "hello");
}

TEST_CASE("body: a string sink stops at its limit", "[http]") {
  testing::TestLoop loop;
  StringSink sink(5);
  CHECK(loop.run(sink.write("abc")).ok());
  CHECK(loop.run(sink.write("de")).ok());
  const Result<void> over = loop.run(sink.write("f"));
  REQUIRE_FALSE(over.ok());
  CHECK(over.error().kind == ErrorKind::rejected);
  CHECK(over.error().code == "body_too_large");
  CHECK(sink.take() == "abcde");
}

}  // namespace pn::http
