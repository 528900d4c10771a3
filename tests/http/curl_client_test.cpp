#include "base/awaitable.hpp"
#include "base/nursery.hpp"
#include "base/result.hpp"
#include "http/client.hpp"
#include "http/types.hpp"
#include "tests/http/scripted_server.hpp"
#include "tests/support/test_loop.hpp"

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include <catch2/catch.hpp>

namespace pn::http {
namespace {

using testing::http_answer;
using testing::ScriptedConnection;
using testing::ScriptedServer;
using testing::TestLoop;

struct World {
  TestLoop loop;
  std::unique_ptr<HttpClient> client = *make_http_client(loop.executor(), {});

  Result<Response> send(Request request) { return loop.run(client->send(std::move(request))); }
};

/// Answers every request of a connection with what `answer` makes of its head and body.
ScriptedServer::Script answering(std::function<std::string(std::string, std::string)> answer) {
  return [answer](ScriptedConnection& c, int) -> Awaitable<void> {
    for (;;) {
      const std::string head = co_await c.read_head();
      std::string body;
      const std::size_t at = head.find("Content-Length: ");
      if (at != std::string::npos) body = co_await c.read_exactly(std::stoul(head.substr(at + 16)));
      const std::string bytes = answer(head, body);
      co_await c.write(bytes);
    }
  };
}

std::string body_of(const Result<Response>& response) {
  REQUIRE(response.ok());
  return response->body;
}

}  // namespace

TEST_CASE("curl client: sends method, path, headers and body as given", "[http][client]") {
  World world;
  std::string head;
  std::string body;
  ScriptedServer server(world.loop, answering([&](std::string h, std::string b) {
                          head = h;
                          body = b;
                          return http_answer(201, "made", "X-Reply: yes\r\nX-Empty:\r\n");
                        }));
  Request request(Method::post, server.url("/a%20b/../c?x=1"));
  request.headers.set("Authorization", "Bearer t");
  request.headers.set("Content-Type", "application/json");
  request.headers.set("X-Nothing", "");
  request.body = "{}";
  const Result<Response> response = world.send(std::move(request));
  REQUIRE(response.ok());
  CHECK(response->status == 201);
  CHECK(response->body == "made");
  CHECK(response->headers.find("x-reply") == "yes");
  CHECK(response->headers.find("x-empty") == "");
  CHECK_THAT(head, Catch::StartsWith("POST /a%20b/../c?x=1 HTTP/1.1\r\n"));
  CHECK_THAT(head, Catch::Contains("Authorization: Bearer t\r\n"));
  CHECK_THAT(head, Catch::Contains("Content-Type: application/json\r\n"));
  CHECK_THAT(head, Catch::Contains("X-Nothing:"));
  CHECK_THAT(head, Catch::Contains("User-Agent: posenode\r\n"));
  CHECK_THAT(head, !Catch::Contains("Expect"));
  CHECK(body == "{}");
}

TEST_CASE("curl client: each method frames its body", "[http][client]") {
  const auto [method, sent, line, length] =
      GENERATE(table<Method, const char*, const char*, const char*>({
          {Method::get, "", "GET /", nullptr},
          {Method::head, "", "HEAD /", nullptr},
          {Method::post, "", "POST /", "Content-Length: 0"},
          {Method::put, "", "PUT /", "Content-Length: 0"},
          {Method::put, "abc", "PUT /", "Content-Length: 3"},
          {Method::patch, "abc", "PATCH /", "Content-Length: 3"},
          {Method::del, "", "DELETE /", nullptr},
          {Method::del, "abc", "DELETE /", "Content-Length: 3"},
      }));
  World world;
  std::string head;
  ScriptedServer server(world.loop, answering([&](std::string h, std::string) {
                          head = h;
                          return std::string("HTTP/1.1 204 No Content\r\n\r\n");
                        }));
  Request request(method, server.url("/"));
  request.body = sent;
  const Result<Response> response = world.send(std::move(request));
  REQUIRE(response.ok());
  CHECK(response->status == 204);
  CHECK_THAT(head, Catch::StartsWith(line));
  CHECK_THAT(head, !Catch::Contains("Content-Type"));
  if (length != nullptr) {
    CHECK_THAT(head, Catch::Contains(length));
  } else {
    CHECK_THAT(head, !Catch::Contains("Content-Length"));
  }
}

TEST_CASE("curl client: two requests share one connection", "[http][client]") {
  World world;
  ScriptedServer server(world.loop,
                        answering([](std::string, std::string) { return http_answer(200, "x"); }));
  CHECK(body_of(world.send(Request(server.url("/1")))) == "x");
  CHECK(body_of(world.send(Request(server.url("/2")))) == "x");
  CHECK(server.connections() == 1);
}

TEST_CASE("curl client: leaves nothing pending on the loop when it rests", "[http][client]") {
  World world;
  {
    ScriptedServer server(world.loop, answering([](std::string, std::string) {
                            return http_answer(200, "x", "Connection: close\r\n");
                          }));
    CHECK(body_of(world.send(Request(server.url("/")))) == "x");
  }
  world.loop.poll();
  CHECK(world.loop.context.stopped());  // poll() ran out of work: no timer, no socket is left
}

TEST_CASE("curl client: a pooled connection that the server closed is replaced", "[http][client]") {
  World world;
  ScriptedServer server(world.loop, [](ScriptedConnection& c, int number) -> Awaitable<void> {
    const std::string head = co_await c.read_head();
    co_await c.write(http_answer(200, std::to_string(number)));
    if (number == 1) {
      // The close comes when the next request is on its way already.
      const std::string next = co_await c.read_some(10);
      co_return;
    }
    co_await c.until_closed();
  });
  CHECK(body_of(world.send(Request(server.url("/")))) == "1");
  Request second(Method::post, server.url("/"));
  second.body = "again";
  CHECK(body_of(world.send(std::move(second))) == "2");
  CHECK(server.connections() == 2);
}

TEST_CASE("curl client: many at once stay within the connections allowed", "[http][client]") {
  TestLoop loop;
  ClientOptions options;
  options.max_connections_per_host = 3;
  const std::unique_ptr<HttpClient> client = *make_http_client(loop.executor(), options);
  ScriptedServer server(loop,
                        answering([](std::string, std::string) { return http_answer(200, "x"); }));
  int answered = 0;
  const auto one = [&]() -> Awaitable<void> {
    Request request(server.url("/"));
    const Result<Response> response = co_await client->send(std::move(request));
    if (response.ok() && response->body == "x") ++answered;
  };
  const auto all = [&]() -> Awaitable<void> {
    Nursery nursery(loop.executor());
    for (int i = 0; i < 40; ++i) nursery.spawn("request", one());
    co_await nursery.join();
  };
  loop.run(all());
  CHECK(answered == 40);
  CHECK(server.connections() <= 3);
}

TEST_CASE("curl client: answers any status, and never follows a redirect", "[http][client]") {
  const int status = GENERATE(200, 204, 301, 302, 307, 401, 404, 418, 500, 503, 599);
  World world;
  ScriptedServer server(
      world.loop, answering([&](std::string, std::string) {
        return http_answer(status, status == 204 ? "" : "b", "Location: http://127.0.0.1:1/\r\n");
      }));
  const Result<Response> response = world.send(Request(server.url("/")));
  REQUIRE(response.ok());
  CHECK(response->status == status);
}

TEST_CASE("curl client: interim answers are passed over", "[http][client]") {
  World world;
  ScriptedServer server(world.loop, answering([](std::string, std::string) {
                          return "HTTP/1.1 103 Early\r\nX-Early: 1\r\n\r\n" + http_answer(200, "x");
                        }));
  const Result<Response> response = world.send(Request(server.url("/")));
  REQUIRE(response.ok());
  CHECK(response->status == 200);
  CHECK_FALSE(response->headers.find("x-early"));
}

TEST_CASE("curl client: an answer may have trailers", "[http][client]") {
  World world;
  const std::string text =
      "HTTP/1.1 200 OK\r\nX-A: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
      "5\r\nhello\r\n0\r\nX-A: 2\r\nContent-Digest: sha-256=:eA==:\r\n\r\n";
  ScriptedServer server(world.loop, answering([&](std::string, std::string) { return text; }));
  for (int i = 0; i < 2; ++i) {
    const auto got = world.send({Method::get, server.url("/")});
    REQUIRE(got.ok());
    CHECK(got->body == "hello");
    CHECK(got->headers.find("x-a") == "1");
    CHECK_FALSE(got->headers.find("content-digest"));
  }
}

TEST_CASE("curl client: a body past its limit is an error, an error's body is cut",
          "[http][client]") {
  const int status = GENERATE(200, 500);
  const bool chunked = GENERATE(false, true);
  World world;
  ScriptedServer server(world.loop, answering([&](std::string, std::string) {
                          const std::string body(5000, 'x');
                          if (!chunked) return http_answer(status, body);
                          return "HTTP/1.1 " + std::to_string(status) +
                                 " X\r\nTransfer-Encoding: chunked\r\n\r\n1388\r\n" + body +
                                 "\r\n0\r\n\r\n";
                        }));
  Request request(server.url("/"));
  request.body_limit = 4999;
  const Result<Response> response = world.send(std::move(request));
  if (status == 200) {
    REQUIRE_FALSE(response.ok());
    CHECK(response.error().kind == ErrorKind::rejected);
    CHECK(response.error().code == "body_too_large");
  } else {
    REQUIRE(response.ok());
    CHECK(response->status == 500);
    CHECK(response->body.size() == 4999);
  }
  Request fits(server.url("/"));
  fits.body_limit = 5000;
  CHECK(body_of(world.send(std::move(fits))).size() == 5000);
}

TEST_CASE("curl client: no whole answer is an error of its kind", "[http][client]") {
  const auto [bytes, kind, code] = GENERATE(table<const char*, ErrorKind, const char*>({
      {"", ErrorKind::retry, "curl_connection_lost"},
      {"HTTP/1.1 200 OK\r\nContent-Le", ErrorKind::retry, "curl_connection_lost"},
      {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", ErrorKind::retry, "curl_partial"},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
       ErrorKind::retry,
       "curl_partial"},
      {"SSH-2.0-OpenSSH_9.2\r\n", ErrorKind::corrupt, "curl_no_http"},
  }));
  World world;
  const std::string answer = bytes;
  ScriptedServer server(world.loop, [answer](ScriptedConnection& c, int) -> Awaitable<void> {
    const std::string head = co_await c.read_head();
    co_await c.write(answer);
    c.socket().shutdown(testing::Tcp::socket::shutdown_send);
    co_await c.until_closed();
  });
  const Result<Response> response = world.send(Request(server.url("/secret?token=abc")));
  INFO(bytes);
  REQUIRE_FALSE(response.ok());
  CHECK(response.error().kind == kind);
  CHECK(response.error().code == code);
  CHECK_THAT(response.error().detail, Catch::Contains("GET " + server.url("/").origin()));
  CHECK_THAT(response.error().detail, !Catch::Contains("abc"));
}

TEST_CASE("curl client: refused connections and unknown hosts", "[http][client]") {
  TestLoop loop;
  ClientOptions options;
  options.allow_plain_http = true;
  const std::unique_ptr<HttpClient> client = *make_http_client(loop.executor(), options);
  SECTION("nobody listens") {
    std::unique_ptr<ScriptedServer> server =
        std::make_unique<ScriptedServer>(loop, ScriptedServer::Script());
    const Url url = server->url("/");
    server.reset();
    const Result<Response> response = loop.run(client->send(Request(url)));
    REQUIRE_FALSE(response.ok());
    CHECK(response.error().kind == ErrorKind::retry);
    CHECK(response.error().code == "curl_connect");
  }
  SECTION("the name does not exist") {
    const Url url = *Url::parse("http://no-such-host.invalid/");
    const Result<Response> response = loop.run(client->send(Request(url)));
    REQUIRE_FALSE(response.ok());
    CHECK(response.error().kind == ErrorKind::retry);
    CHECK(response.error().code == "curl_resolve");
  }
}

TEST_CASE("curl client: plain http to other hosts needs leave", "[http][client]") {
  World world;
  const Result<Response> response = world.send(Request(*Url::parse("http://market.example.org/x")));
  REQUIRE_FALSE(response.ok());
  CHECK(response.error().kind == ErrorKind::internal);
  CHECK_THAT(response.error().detail, Catch::Contains("ALLOW_PLAIN_HTTP"));
}

TEST_CASE("curl client: the time limit covers the whole exchange", "[http][client]") {
  World world;
  ScriptedServer server(world.loop, [](ScriptedConnection& c, int) -> Awaitable<void> {
    const std::string head = co_await c.read_head();
    co_await c.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab");
    co_await c.until_closed();
  });
  Request request(server.url("/"));
  request.timeout = std::chrono::milliseconds(60);
  const Result<Response> response = world.send(std::move(request));
  REQUIRE_FALSE(response.ok());
  CHECK(response.error().kind == ErrorKind::retry);
  CHECK(response.error().code == "curl_timeout");
}

TEST_CASE("curl client: a transfer that crawls is ended", "[http][client]") {
  World world;
  ScriptedServer server(world.loop, [](ScriptedConnection& c, int) -> Awaitable<void> {
    const std::string head = co_await c.read_head();
    co_await c.write("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\nab");
    co_await c.until_closed();
  });
  Request request(server.url("/"));
  request.timeout = std::chrono::milliseconds(0);
  request.low_speed_bytes = 1000;
  request.low_speed_time = std::chrono::seconds(1);
  const Result<Response> response = world.send(std::move(request));
  REQUIRE_FALSE(response.ok());
  CHECK(response.error().code == "curl_timeout");
}

TEST_CASE("curl client: cancellation closes the connection and throws", "[http][client]") {
  World world;
  bool closed = false;
  bool asked = false;
  ScriptedServer server(world.loop, [&](ScriptedConnection& c, int) -> Awaitable<void> {
    const std::string head = co_await c.read_head();
    asked = true;
    co_await c.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab");
    co_await c.until_closed();
    closed = true;
  });
  const auto body = [&]() -> Awaitable<void> {
    Request request(server.url("/"));
    const Result<Response> response = co_await world.client->send(std::move(request));
  };
  testing::Started started(world.loop, body());
  REQUIRE(world.loop.run_until([&] { return asked; }));
  CHECK_FALSE(started.done());
  started.cancel();
  REQUIRE(world.loop.run_until([&] { return closed; }));
  CHECK(started.done());
  CHECK_THROWS_AS(started.rethrow(), boost::system::system_error);
  server.close();
  world.loop.poll();
  CHECK(world.loop.context.stopped());
}

TEST_CASE("curl client: a client may go before its exchanges are unwound", "[http][client]") {
  auto loop = std::make_unique<TestLoop>();
  ScriptedServer server(
      *loop, [](ScriptedConnection& c, int) -> Awaitable<void> { co_await c.until_closed(); });
  std::unique_ptr<HttpClient> client = *make_http_client(loop->executor(), {});
  const auto body = [&]() -> Awaitable<void> {
    Request request(server.url("/"));
    const Result<Response> response = co_await client->send(std::move(request));
  };
  testing::Started started(*loop, body());
  loop->poll();
  CHECK_FALSE(started.done());
  client.reset();
  started.cancel();
  loop->poll();
  CHECK(started.done());
}

}  // namespace pn::http
