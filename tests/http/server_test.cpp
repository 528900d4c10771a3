#include "http/server.hpp"

#include "base/awaitable.hpp"
#include "base/file.hpp"
#include "base/log.hpp"
#include "base/result.hpp"
#include "http/body.hpp"
#include "http/types.hpp"
#include "tests/http/raw_client.hpp"
#include "tests/support/test_loop.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <ios>
#include <memory>
#include <optional>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

namespace pn::http {
namespace {

using namespace std::chrono_literals;
using testing::RawAnswer;
using testing::RawClient;
using testing::Served;
using testing::TestLoop;

Awaitable<ServerResponse> hello(ServerRequest&) { co_return ServerResponse::json(200, "{}"); }

Awaitable<ServerResponse> echo(ServerRequest& request) {
  Result<std::string> body = co_await read_body(request, 1 << 20);
  if (!body) co_return error_response(413, body.error().code, body.error().detail);
  co_return ServerResponse::text(200, std::move(*body));
}

Awaitable<ServerResponse> ignores_body(ServerRequest&) {
  co_return ServerResponse::text(200, "done");
}

Awaitable<ServerResponse> throws(ServerRequest&) {
  throw std::runtime_error("the secret is 42");
  co_return ServerResponse::empty(200);
}

Awaitable<ServerResponse> seen(ServerRequest& request) {
  std::string out = std::string(name(request.method)) + " " + request.path;
  for (const auto& [key, value] : request.params) out += " " + key + "=" + value;
  for (const auto& [key, value] : request.query) out += " ?" + key + "=" + value;
  out += " " + request.bearer().value_or("no token");
  co_return ServerResponse::text(200, out);
}

std::string counted(std::size_t bytes) {
  std::string out(bytes, '\0');
  for (std::size_t i = 0; i < bytes; ++i) out[i] = static_cast<char>('a' + i % 26);
  return out;
}

std::string get(std::string_view path, std::string_view fields = "") {
  return "GET " + std::string(path) + " HTTP/1.1\r\nHost: h\r\n" + std::string(fields) + "\r\n";
}

std::string post(std::string_view path, std::string_view body, std::string_view fields = "") {
  return "POST " + std::string(path) +
         " HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
         std::string(fields) + "\r\n" + std::string(body);
}

std::string chunked(std::string_view path, const std::vector<std::string>& pieces) {
  std::string out =
      "POST " + std::string(path) + " HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (const auto& piece : pieces) {
    std::ostringstream size;
    size << std::hex << piece.size();
    out += size.str() + ";ext=1\r\n" + piece + "\r\n";
  }
  return out + "0\r\nX-Trailer: dropped\r\n\r\n";
}

Router usual() {
  Router router;
  router.add(Method::get, "/hello", hello);
  router.add(Method::post, "/echo", echo);
  router.add(Method::post, "/ignore", ignores_body);
  router.add(Method::get, "/throw", throws);
  return router;
}

}  // namespace

TEST_CASE("server: one connection serves one request after another", "[http][server]") {
  TestLoop loop;
  Served served(loop, usual());
  RawClient client(loop, served.port());
  for (int i = 0; i < 3; ++i) {
    const RawAnswer answer = client.ask(get("/hello"));
    CHECK(answer.status == 200);
    CHECK(answer.head.starts_with("HTTP/1.1 200 OK\r\n"));
    CHECK(answer.field("Content-Type") == "application/json");
    CHECK(answer.field("Content-Length") == "2");
    CHECK(answer.field("Date") == "Fri, 20 Nov 2026 10:00:00 GMT");
    CHECK(answer.field("Server") == "posenode");
    CHECK(answer.field("Connection").empty());
    CHECK(answer.body == "{}");
  }
  CHECK(client.ask(post("/echo", "hi")).body == "hi");
}

TEST_CASE("server: pipelined requests are answered in order", "[http][server]") {
  TestLoop loop;
  Served served(loop, usual());
  RawClient client(loop, served.port());
  client.send(post("/echo", "one") + chunked("/echo", {"tw", "o"}) + "\r\n" + get("/hello") +
              post("/ignore", "unread") + post("/echo", "five"));
  CHECK(client.answer().body == "one");
  CHECK(client.answer().body == "two");
  CHECK(client.answer().body == "{}");
  CHECK(client.answer().body == "done");
  CHECK(client.answer().body == "five");
}

TEST_CASE("server: a request may come byte by byte", "[http][server]") {
  TestLoop loop;
  Served served(loop, usual());
  RawClient client(loop, served.port());
  const std::string request =
      GENERATE(post("/echo", "hello there"), chunked("/echo", {"hello", " ", "there"}));
  for (const char byte : request) {
    client.send(std::string_view(&byte, 1));
    loop.poll();
  }
  CHECK(client.answer().body == "hello there");
}

TEST_CASE("server: bodies of every size arrive whole", "[http][server]") {
  TestLoop loop;
  Served served(loop, usual());
  RawClient client(loop, served.port());
  const std::size_t size = GENERATE(as<std::size_t>{}, 0, 1, 4095, 4096, 70000, 1 << 20);
  const std::string body = counted(size);
  CHECK(client.ask(post("/echo", body)).body == body);
  CHECK(client.ask(chunked("/echo", {body.substr(0, size / 3), body.substr(size / 3)})).body ==
        (size < 3 ? "" : body));
}

TEST_CASE("server: Expect: 100-continue is answered when the body is wanted", "[http][server]") {
  TestLoop loop;
  Served served(loop, usual());
  RawClient client(loop, served.port());
  const std::string head =
      "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";
  SECTION("then the body, then the next request") {
    client.send(head);
    CHECK(client.answer().status == 100);
    client.send("abc");
    CHECK(client.answer().body == "abc");
    CHECK(client.ask(get("/hello")).status == 200);
  }
  SECTION("a body that came along needs no word") { CHECK(client.ask(head + "abc").body == "abc"); }
  SECTION("unwanted: the answer, and the connection closes") {
    client.send("POST /nowhere" + head.substr(10));
    const RawAnswer answer = client.answer();
    CHECK(answer.status == 404);
    CHECK(answer.field("Connection") == "close");
    CHECK(client.closed_by_server());
  }
  SECTION("another expectation") {
    CHECK(client.ask(get("/hello", "Expect: wonders\r\n")).status == 417);
  }
}

TEST_CASE("server: what a handler leaves unread is discarded, up to a limit", "[http][server]") {
  TestLoop loop;
  Served served(loop, usual());
  RawClient client(loop, served.port());
  SECTION("little") {
    CHECK(client.ask(post("/ignore", counted(500'000))).body == "done");
    CHECK(client.ask(get("/hello")).status == 200);
    CHECK(client.ask(chunked("/ignore", {counted(500'000)})).body == "done");
    CHECK(client.ask(get("/hello")).status == 200);
  }
  SECTION("much: the answer arrives all the same, then the connection closes") {
    client.try_send(post("/ignore", counted(3 << 20)));
    const RawAnswer answer = client.answer();
    CHECK(answer.body == "done");
    CHECK(answer.field("Connection") == "close");
    CHECK(client.closed_by_server());
  }
}

TEST_CASE("server: requests that are none get a JSON error", "[http][server]") {
  TestLoop loop;
  ServerOptions options;
  options.header_limit = 2048;
  options.body_limit = 1000;
  Served served(loop, usual(), options);
  struct Case {
    std::string name;
    std::string request;
    int status;
    std::string code;
  };
  std::string many = "GET /hello HTTP/1.1\r\nHost: h\r\n";
  for (int i = 0; i < 200; ++i) many += "a" + std::to_string(i) + ": 12345678\r\n";
  const auto c = GENERATE_COPY(values<Case>({
      {"no HTTP", "hello there\r\n\r\n", 400, "request_malformed"},
      {"a bare line feed", "GET /hello HTTP/1.1\nHost: h\n\n", 400, "request_malformed"},
      {"no host", "GET /hello HTTP/1.1\r\n\r\n", 400, "host_missing"},
      {"a bad length",
       "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n",
       400,
       "request_malformed"},
      {"two lengths",
       "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
       400,
       "request_malformed"},
      {"length and chunks",
       "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
       400,
       "request_malformed"},
      {"another coding",
       "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n",
       400,
       "request_malformed"},
      {"a bad escape", get("/a%zz"), 400, "path_malformed"},
      {"an unknown method", "BREW /hello HTTP/1.1\r\nHost: h\r\n\r\n", 501, "method_unknown"},
      {"an unknown path", get("/nowhere"), 404, "path_unknown"},
      {"a known path, another method", post("/hello", ""), 405, "method_not_allowed"},
      {"one long field",
       get("/hello", "X: " + std::string(3000, 'x') + "\r\n"),
       431,
       "header_too_large"},
      {"many short fields", many + "\r\n", 431, "header_too_large"},
      {"a long target", get("/" + std::string(3000, 'x')), 431, "header_too_large"},
      {"a long body", post("/echo", std::string(1001, 'x')), 413, "body_too_large"},
      {"a long chunked body",
       chunked("/echo", {std::string(600, 'x'), std::string(600, 'x')}),
       413,
       "body_too_large"},
      {"a bad chunk",
       "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
       400,
       "body_malformed"},
  }));
  CAPTURE(c.name);
  RawClient client(loop, served.port());
  const RawAnswer answer = client.ask(c.request);
  CHECK(answer.status == c.status);
  CHECK(answer.field("Content-Type") == "application/json");
  CHECK(answer.body.starts_with("{\"error\":{\"code\":\"" + c.code + "\",\"message\":\""));
  RawClient next(loop, served.port());
  CHECK(next.ask(get("/hello")).status == 200);
}

TEST_CASE("server: a handler that throws is a 500 that tells nothing, and an event",
          "[http][server]") {
  TestLoop loop;
  std::string lines;
  const log::Logger logger(log::Options{},
                           [&](log::Level, std::string_view line) { lines += line; });
  Served served(loop, usual(), {}, logger);
  RawClient client(loop, served.port());
  const RawAnswer answer = client.ask(get("/throw"));
  CHECK(answer.status == 500);
  CHECK(answer.body.find("42") == std::string::npos);
  CHECK(lines.find("http.handler_failed") != std::string::npos);
  CHECK(lines.find("the secret is 42") != std::string::npos);
  CHECK(client.ask(get("/hello")).status == 200);
}

TEST_CASE("server: what a handler sees of a request", "[http][server]") {
  TestLoop loop;
  Router router;
  router.add(Method::get, "/d/{domain}/data/{id}", seen);
  Served served(loop, std::move(router));
  RawClient client(loop, served.port());
  CHECK(
      client.ask(get("/d/a%2Fb/data/c%20d?x=1+2&uploads", "Authorization: bearer tok\r\n")).body ==
      "GET /d/a/b/data/c d domain=a/b id=c d ?x=1 2 ?uploads= tok");
  CHECK(client.ask(get("http://h:1/d/x//data/y")).body ==
        "GET /d/x//data/y domain=x id=y no token");
}

TEST_CASE("router: literals win, HEAD falls back to GET, 405 lists what there is",
          "[http][server]") {
  Router router;
  router.add(Method::get, "/a/{x}", hello);
  router.add(Method::get, "/a/b", echo);
  router.add(Method::del, "/a/{x}", hello);
  CHECK(router.match(Method::get, "/a/b").pattern == "/a/b");
  CHECK(router.match(Method::get, "/a/c").pattern == "/a/{x}");
  CHECK(router.match(Method::head, "/a/c").status == 200);
  CHECK(router.match(Method::del, "/a/b").pattern == "/a/{x}");
  CHECK(router.match(Method::post, "/a/b").status == 405);
  CHECK(router.match(Method::post, "/a/b").allow == "DELETE, GET, HEAD");
  CHECK(router.match(Method::get, "/a").status == 404);
  CHECK(router.match(Method::get, "/a/").status == 404);
  CHECK(router.match(Method::get, "/a/b/").status == 404);
  CHECK(router.match(Method::get, "//a//b").status == 200);
  CHECK(router.match(Method::get, "").status == 404);
}

}  // namespace pn::http
