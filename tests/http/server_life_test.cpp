#include "base/awaitable.hpp"
#include "base/event.hpp"
#include "base/result.hpp"
#include "http/server.hpp"
#include "http/types.hpp"
#include "tests/http/raw_client.hpp"
#include "tests/support/test_loop.hpp"
#include "tests/support/unwound.hpp"

#include <chrono>
#include <functional>
#include <string>
#include <utility>

#include <catch2/catch.hpp>

namespace pn::http {
namespace {

using namespace std::chrono_literals;
using testing::RawAnswer;
using testing::RawClient;
using testing::Served;
using testing::TestLoop;
using testing::Unwound;

const std::string kGet = "GET /hello HTTP/1.1\r\nHost: h\r\n\r\n";

struct Gate {
  explicit Gate(TestLoop& loop) : open(loop.executor()) {}
  Event open;
  int entered = 0;
  bool unwound = false;
};

Awaitable<ServerResponse> hello(ServerRequest&) { co_return ServerResponse::json(200, "{}"); }

Router usual(Gate& gate) {
  Router router;
  router.add(Method::get, "/hello", hello);
  router.add(Method::post, "/echo", [](ServerRequest& request) -> Awaitable<ServerResponse> {
    Result<std::string> body = co_await read_body(request, 1 << 20);
    if (!body) co_return error_response(400, body.error().code, body.error().detail);
    co_return ServerResponse::text(200, std::move(*body));
  });
  router.add(Method::get, "/wait", [&gate](ServerRequest&) -> Awaitable<ServerResponse> {
    const Unwound note{gate.unwound};
    ++gate.entered;
    co_await gate.open.wait();
    co_return ServerResponse::text(200, "waited");
  });
  return router;
}

}  // namespace

TEST_CASE("server: an idle connection is closed without a word", "[http][server]") {
  TestLoop loop;
  Gate gate(loop);
  Served served(loop, usual(gate));
  RawClient fresh(loop, served.port());
  RawClient used(loop, served.port());
  CHECK(used.ask(kGet).status == 200);
  loop.advance(60s);
  CHECK(used.ask(kGet).status == 200);  // a request starts the time again
  loop.advance(60s);
  CHECK(used.ask(kGet).status == 200);
  loop.advance(77s);
  CHECK(used.rest().empty());
  CHECK(fresh.rest().empty());
}

TEST_CASE("server: half a header is a 408 after its time, half a body too", "[http][server]") {
  TestLoop loop;
  Gate gate(loop);
  Served served(loop, usual(gate));
  RawClient client(loop, served.port());
  const std::string half =
      GENERATE("GET /he", "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc");
  client.send(half);
  loop.poll();
  loop.advance(9s);
  if (half.size() > 20) loop.advance(50s);
  loop.poll();
  loop.advance(4s);
  const RawAnswer answer = client.answer();
  CHECK(answer.status == 408);
  CHECK(answer.field("Connection") == "close");
  CHECK(client.closed_by_server());
}

TEST_CASE("server: a slow client that goes on is not cut off in its body", "[http][server]") {
  TestLoop loop;
  Gate gate(loop);
  Served served(loop, usual(gate));
  RawClient client(loop, served.port());
  client.send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n");
  for (const auto* byte : {"a", "b", "c", "d"}) {
    loop.poll();
    loop.advance(50s);
    client.send(byte);
  }
  CHECK(client.answer().body == "abcd");
}

TEST_CASE("server: a client that reads nothing is let go", "[http][server]") {
  TestLoop loop;
  Router router;
  router.add(Method::get, "/big", [](ServerRequest&) -> Awaitable<ServerResponse> {
    co_return ServerResponse::text(200, std::string(64 << 20, 'x'));
  });
  Served served(loop, std::move(router));
  RawClient client(loop, served.port());
  client.send("GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
  loop.poll();
  loop.advance(62s);
  CHECK_FALSE(client.answer().whole);
}

TEST_CASE("server: a client that leaves in its request harms nobody", "[http][server]") {
  TestLoop loop;
  Gate gate(loop);
  Served served(loop, usual(gate));
  const std::string sent =
      GENERATE("GET /he",
               "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc",
               "GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
  {
    RawClient client(loop, served.port());
    client.send(sent);
    loop.poll();
  }
  gate.open.set();
  loop.poll();
  RawClient next(loop, served.port());
  CHECK(next.ask(kGet).status == 200);
}

TEST_CASE("server: past the limit of connections a client gets 503", "[http][server]") {
  TestLoop loop;
  Gate gate(loop);
  ServerOptions options;
  options.max_connections = 2;
  Served served(loop, usual(gate), options);
  {
    RawClient one(loop, served.port());
    RawClient two(loop, served.port());
    CHECK(one.ask(kGet).status == 200);
    CHECK(two.ask(kGet).status == 200);
    RawClient three(loop, served.port());
    const RawAnswer refused = three.ask(kGet);
    CHECK(refused.status == 503);
    CHECK(refused.field("Retry-After") == "1");
    CHECK(refused.body.find("too_many_connections") != std::string::npos);
    CHECK(three.closed_by_server());
    CHECK(one.ask(kGet).status == 200);
  }
  loop.poll();
  RawClient four(loop, served.port());
  CHECK(four.ask(kGet).status == 200);
}

TEST_CASE("server: a graceful stop closes what is idle and finishes what is not",
          "[http][server]") {
  TestLoop loop;
  Gate gate(loop);
  Served served(loop, usual(gate));
  RawClient idle(loop, served.port());
  CHECK(idle.ask(kGet).status == 200);
  RawClient busy(loop, served.port());
  busy.send("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
  REQUIRE(loop.run_until([&] { return gate.entered == 1; }));

  served.server().request_stop();
  CHECK(idle.closed_by_server());
  CHECK_FALSE(served.done());
  CHECK_THROWS(RawClient(loop, served.port()));

  gate.open.set();
  const RawAnswer answer = busy.answer();
  CHECK(answer.body == "waited");
  CHECK(answer.field("Connection") == "close");
  served.settle();
  CHECK(served.done());
  CHECK_FALSE(served.running().failed());
}

TEST_CASE("server: a stop without any connection ends at once", "[http][server]") {
  TestLoop loop;
  Gate gate(loop);
  Served served(loop, usual(gate));
  loop.poll();
  served.server().request_stop();
  loop.poll();
  CHECK(served.done());
  CHECK_FALSE(served.running().failed());
}

TEST_CASE("server: cancellation ends handlers too", "[http][server]") {
  TestLoop loop;
  Gate gate(loop);
  Served served(loop, usual(gate));
  RawClient client(loop, served.port());
  client.send("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
  REQUIRE(loop.run_until([&] { return gate.entered == 1; }));
  served.cancel();
  served.settle();
  CHECK(served.done());
  CHECK(gate.unwound);
  CHECK(client.rest().empty());
}

TEST_CASE("server: a port that is taken is an Error that says what to do", "[http][server]") {
  TestLoop loop;
  ServerOptions options;
  const auto first = Server::listen(loop.executor(), loop.clock, {}, options, Router());
  REQUIRE(first.ok());
  options.port = first.value()->port();
  const auto second = Server::listen(loop.executor(), loop.clock, {}, options, Router());
  REQUIRE_FALSE(second.ok());
  CHECK(second.error().kind == ErrorKind::rejected);
  CHECK(second.error().code == "address_in_use");
  CHECK(second.error().detail.find("127.0.0.1:" + std::to_string(options.port)) !=
        std::string::npos);
}

TEST_CASE("server: listen addresses", "[http][server]") {
  const auto parsed = [](std::string_view text) {
    const auto out = parse_listen_address(text);
    return out ? out->address + " " + std::to_string(out->port) : out.error().code;
  };
  CHECK(parsed("127.0.0.1:8480") == "127.0.0.1 8480");
  CHECK(parsed("localhost:1") == "127.0.0.1 1");
  CHECK(parsed("[::1]:0") == "::1 0");
  CHECK(parsed(":8480") == ":: 8480");
  for (const auto* wrong : {"",
                            "8480",
                            "127.0.0.1",
                            "127.0.0.1:",
                            "127.0.0.1:65536",
                            "h:-1",
                            "::1:80",
                            "[::1]",
                            "[127.0.0.1]:80",
                            "example.org:80",
                            "1.2.3.4:8x"}) {
    CAPTURE(wrong);
    CHECK(parsed(wrong) == "listen_address");
  }
}

TEST_CASE("server: all addresses means both families", "[http][server]") {
  TestLoop loop;
  Gate gate(loop);
  ServerOptions options;
  options.address = parse_listen_address(":0").value().address;
  Served served(loop, usual(gate), options);
  RawClient client(loop, served.port());
  CHECK(client.ask(kGet).status == 200);
}

TEST_CASE("server: a handler can tell that its client has left", "[http][server][mt]") {
  TestLoop loop;
  Gate gate(loop);
  Router router = usual(gate);
  std::function<bool()> gone;
  router.add(Method::get, "/long", [&](ServerRequest& request) -> Awaitable<ServerResponse> {
    gone = [&request] { return request.peer_gone(); };
    co_await gate.open.wait();
    co_return ServerResponse::empty(204);
  });
  CHECK_FALSE(ServerRequest().peer_gone());
  Served served(loop, std::move(router));
  RawClient client(loop, served.port());
  client.send("GET /long HTTP/1.1\r\nHost: h\r\n\r\n");
  REQUIRE(loop.run_until([&] { return static_cast<bool>(gone); }));
  CHECK_FALSE(gone());
  client.send(kGet);  // the next request waits in the socket
  CHECK_FALSE(gone());

  SECTION("and is still there") {
    gate.open.set();
    CHECK(client.answer().status == 204);
    CHECK(client.answer().status == 200);
  }
  SECTION("and has left") {
    RawClient other(loop, served.port());
    gone = nullptr;
    other.send("GET /long HTTP/1.1\r\nHost: h\r\n\r\n");
    REQUIRE(loop.run_until([&] { return static_cast<bool>(gone); }));
    other.close();
    CHECK(loop.run_until([&] { return gone(); }));
    gate.open.set();
  }
}

}  // namespace pn::http
