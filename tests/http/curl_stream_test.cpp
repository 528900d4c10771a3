#include "base/awaitable.hpp"
#include "base/event.hpp"
#include "base/result.hpp"
#include "http/body.hpp"
#include "http/client.hpp"
#include "http/types.hpp"
#include "tests/http/scripted_server.hpp"
#include "tests/support/test_loop.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include <catch2/catch.hpp>

namespace pn::http {
namespace {

using testing::http_answer;
using testing::ScriptedConnection;
using testing::ScriptedServer;
using testing::TestLoop;

constexpr std::uint64_t kMany = 50 * 1024 * 1024;
/// What two sockets of the kernel, libcurl and our buffers may hold between two ends.
constexpr std::uint64_t kInBetween = 20 * 1024 * 1024;

char byte_at(std::uint64_t position) { return static_cast<char>(position * 31 / 7); }

std::string pattern(std::uint64_t from, std::size_t count) {
  std::string out(count, '\0');
  for (std::size_t i = 0; i < count; ++i) out[i] = byte_at(from + i);
  return out;
}

/// Bytes made when they are asked for.
class MadeSource final : public BodySource {
 public:
  explicit MadeSource(std::uint64_t total) : total_(total) {}
  [[nodiscard]] std::optional<std::uint64_t> size() const override {
    return stated ? stated : std::nullopt;
  }
  Awaitable<Result<std::size_t>> read(std::span<char> buffer) override {
    if (gate != nullptr) {
      waiting = true;
      co_await gate->wait();
      waiting = false;
    }
    if (fail_at && given >= *fail_at) {
      co_return Error(ErrorKind::internal, "disk", "the disk is gone");
    }
    const std::size_t count = std::min<std::uint64_t>(buffer.size(), total_ - given);
    for (std::size_t i = 0; i < count; ++i) buffer[i] = byte_at(given + i);
    given += count;
    largest = std::max(largest, count);
    co_return count;
  }
  bool rewind() override {
    ++rewinds;
    given = 0;
    return can_rewind;
  }

  std::optional<std::uint64_t> stated;
  std::optional<std::uint64_t> fail_at;
  Event* gate = nullptr;
  bool waiting = false;
  bool can_rewind = true;
  int rewinds = 0;
  std::uint64_t given = 0;
  std::size_t largest = 0;

 private:
  std::uint64_t total_;
};

class CheckedSink final : public BodySink {
 public:
  Result<void> begin(int status, const Headers& headers) override {
    begun_status = status;
    ++begun;
    type = headers.find("content-type").value_or("none");
    if (refuse) return Error(ErrorKind::corrupt, "wrong_type", "not what was asked for");
    return {};
  }
  Awaitable<Result<void>> write(std::string_view bytes) override {
    waiting = true;
    if (gate != nullptr) co_await gate->wait();
    waiting = false;
    if (fail_at && got >= *fail_at) co_return Error(ErrorKind::full, "disk_full", "no space");
    for (const char c : bytes) right = right && c == byte_at(got++);
    largest = std::max(largest, bytes.size());
    co_return Result<void>();
  }

  std::optional<std::uint64_t> fail_at;
  Event* gate = nullptr;
  std::uint64_t got = 0;
  bool right = true;
  std::size_t largest = 0;
  int begun = 0;
  int begun_status = 0;
  bool refuse = false;
  bool waiting = false;
  std::string type;
};

struct World {
  TestLoop loop;
  std::unique_ptr<HttpClient> client = *make_http_client(loop.executor(), {});

  Result<Response> send(Request request) { return loop.run(client->send(std::move(request))); }
  /// Until the counter has begun to move, and then until nothing has moved for a while.
  void drive_while_moving(const std::uint64_t& counter) {
    REQUIRE(loop.run_until([&] { return counter > 0; }));
    std::uint64_t before = 0;
    while (before != counter) {
      before = counter;
      loop.context.restart();
      loop.context.run_for(std::chrono::milliseconds(100));
    }
  }
};

Awaitable<void> write_many(ScriptedConnection& c, std::uint64_t total, std::uint64_t& sent) {
  while (sent < total) {
    const std::string piece = pattern(sent, std::min<std::uint64_t>(65536, total - sent));
    co_await c.write(piece);
    sent += piece.size();
  }
}

}  // namespace

TEST_CASE("stream: a download waits for its sink, in bounded memory", "[http][client][stream]") {
  World world;
  std::uint64_t sent = 0;
  ScriptedServer server(world.loop, [&](ScriptedConnection& c, int) -> Awaitable<void> {
    const std::string head = co_await c.read_head();
    co_await c.write("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(kMany) + "\r\n\r\n");
    co_await write_many(c, kMany, sent);
    co_await c.until_closed();
  });
  Event gate(world.loop.executor());
  CheckedSink sink;
  sink.gate = &gate;
  std::optional<Result<Response>> response;
  const auto body = [&]() -> Awaitable<void> {
    Request request(server.url("/"));
    request.sink = &sink;
    request.timeout = std::chrono::milliseconds(0);
    response = co_await world.client->send(std::move(request));
  };
  testing::Started started(world.loop, body());
  world.drive_while_moving(sent);
  CHECK(sent > 0);
  CHECK(sent < kInBetween);
  CHECK(sink.got == 0);
  sink.gate = nullptr;
  gate.set();
  REQUIRE(world.loop.run_until([&] { return started.done(); }));
  started.rethrow();
  REQUIRE(response->ok());
  CHECK((*response)->body.empty());
  CHECK(sink.got == kMany);
  CHECK(sink.right);
  CHECK(sink.largest <= 512 * 1024);
}

TEST_CASE("stream: an upload waits for its server, in bounded memory", "[http][client][stream]") {
  World world;
  bool go = false;
  bool right = true;
  std::uint64_t got = 0;
  std::string head;
  ScriptedServer server(world.loop, [&](ScriptedConnection& c, int) -> Awaitable<void> {
    head = co_await c.read_head();
    while (!go) co_await c.pause(std::chrono::milliseconds(5));
    while (got < kMany) {
      const std::string piece = co_await c.read_some(256 * 1024);
      for (const char b : piece) right = right && b == byte_at(got++);
    }
    co_await c.write(http_answer(200, "stored"));
    co_await c.until_closed();
  });
  MadeSource source(kMany);
  source.stated = kMany;
  std::optional<Result<Response>> response;
  const auto body = [&]() -> Awaitable<void> {
    Request request(Method::put, server.url("/"));
    request.source = &source;
    request.timeout = std::chrono::milliseconds(0);
    response = co_await world.client->send(std::move(request));
  };
  testing::Started started(world.loop, body());
  world.drive_while_moving(source.given);
  CHECK(source.given > 0);
  CHECK(source.given < kInBetween);
  CHECK(source.largest <= 512 * 1024);
  go = true;
  REQUIRE(world.loop.run_until([&] { return started.done(); }));
  started.rethrow();
  REQUIRE(response->ok());
  CHECK((*response)->body == "stored");
  CHECK(got == kMany);
  CHECK(right);
  CHECK_THAT(head, Catch::StartsWith("PUT / HTTP/1.1"));
  CHECK_THAT(head, Catch::Contains("Content-Length: " + std::to_string(kMany)));
  CHECK_THAT(head, !Catch::Contains("Expect"));
}

TEST_CASE("stream: a source of unknown size goes chunked", "[http][client][stream]") {
  World world;
  std::string head;
  std::string body;
  ScriptedServer server(world.loop, [&](ScriptedConnection& c, int) -> Awaitable<void> {
    head = co_await c.read_head();
    body = co_await c.read_until("0\r\n\r\n");
    co_await c.write(http_answer(200, ""));
  });
  MadeSource source(10);
  Request request(Method::post, server.url("/"));
  request.source = &source;
  CHECK(world.send(std::move(request)).ok());
  CHECK_THAT(head, Catch::StartsWith("POST / HTTP/1.1"));
  CHECK_THAT(head, Catch::Contains("Transfer-Encoding: chunked"));
  CHECK(body == "a\r\n" + pattern(0, 10) + "\r\n0\r\n\r\n");
}

TEST_CASE("stream: an empty source has a length of zero", "[http][client][stream]") {
  World world;
  std::string head;
  ScriptedServer server(world.loop, [&](ScriptedConnection& c, int) -> Awaitable<void> {
    head = co_await c.read_head();
    co_await c.write(http_answer(200, ""));
  });
  MadeSource source(0);
  source.stated = 0;
  Request request(Method::put, server.url("/"));
  request.source = &source;
  CHECK(world.send(std::move(request)).ok());
  CHECK_THAT(head, Catch::Contains("Content-Length: 0"));
}

TEST_CASE("stream: a sink hears the headers first, once", "[http][client][stream]") {
  const std::string body = pattern(0, GENERATE(as<std::size_t>(), 0, 3));
  const bool refuse = GENERATE(false, true);
  World world;
  ScriptedServer server(world.loop, [&](ScriptedConnection& c, int) -> Awaitable<void> {
    const std::string head = co_await c.read_head();
    co_await c.write(http_answer(200, body, "Content-Type: x/y\r\n"));
    co_await c.until_closed();
  });
  CheckedSink sink;
  sink.refuse = refuse;
  Request request(server.url("/"));
  request.sink = &sink;
  const Result<Response> response = world.send(std::move(request));
  CHECK(sink.begun == 1);
  CHECK(sink.begun_status == 200);
  CHECK(sink.type == "x/y");
  CHECK(response.ok() == !refuse);
  if (refuse) CHECK(response.error().code == "wrong_type");
  CHECK(sink.got == (refuse ? 0 : body.size()));
}

TEST_CASE("stream: an error's body does not reach the sink", "[http][client][stream]") {
  World world;
  ScriptedServer server(world.loop, [&](ScriptedConnection& c, int) -> Awaitable<void> {
    const std::string head = co_await c.read_head();
    co_await c.write(http_answer(503, std::string(100'000, 'e')));
    co_await c.until_closed();
  });
  CheckedSink sink;
  Request request(server.url("/"));
  request.sink = &sink;
  const Result<Response> response = world.send(std::move(request));
  REQUIRE(response.ok());
  CHECK(response->status == 503);
  CHECK(response->body.size() == 64 * 1024);
  CHECK(sink.got == 0);
  CHECK(sink.begun == 0);
}

TEST_CASE("stream: an early refusal is answered, the rest is not sent", "[http][client][stream]") {
  World world;
  ScriptedServer server(world.loop, [&](ScriptedConnection& c, int) -> Awaitable<void> {
    const std::string head = co_await c.read_head();
    const std::string some = co_await c.read_some(1000);
    co_await c.write(http_answer(413, "too large", "Connection: close\r\n"));
    co_await c.until_closed();
  });
  MadeSource source(kMany);
  source.stated = kMany;
  Request request(Method::put, server.url("/"));
  request.source = &source;
  const Result<Response> response = world.send(std::move(request));
  REQUIRE(response.ok());
  CHECK(response->status == 413);
  CHECK(source.given < kInBetween);
}

TEST_CASE("stream: what source or sink fails with is the answer", "[http][client][stream]") {
  World world;
  bool closed = false;
  std::uint64_t sent = 0;
  ScriptedServer server(world.loop, [&](ScriptedConnection& c, int) -> Awaitable<void> {
    const std::string head = co_await c.read_head();
    if (head.starts_with("GET")) {
      co_await c.write("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(kMany) + "\r\n\r\n");
      try {
        co_await write_many(c, kMany, sent);
      } catch (const boost::system::system_error&) {
      }
    }
    co_await c.until_closed();
    closed = true;
  });
  SECTION("sink") {
    CheckedSink sink;
    sink.fail_at = 1'000'000;
    Request request(server.url("/"));
    request.sink = &sink;
    const Result<Response> response = world.send(std::move(request));
    REQUIRE_FALSE(response.ok());
    CHECK(response.error().code == "disk_full");
  }
  SECTION("source") {
    MadeSource source(kMany);
    source.stated = kMany;
    source.fail_at = 1'000'000;
    Request request(Method::put, server.url("/"));
    request.source = &source;
    const Result<Response> response = world.send(std::move(request));
    REQUIRE_FALSE(response.ok());
    CHECK(response.error().code == "disk");
  }
  SECTION("a source that ends before its size") {
    MadeSource source(1000);
    source.stated = 1001;
    Request request(Method::put, server.url("/"));
    request.source = &source;
    const Result<Response> response = world.send(std::move(request));
    REQUIRE_FALSE(response.ok());
    CHECK(response.error().kind == ErrorKind::corrupt);
    CHECK(response.error().code == "body_short");
  }
  CHECK(world.loop.run_until([&] { return closed; }));
}

TEST_CASE("stream: a truncated download is an error after its bytes", "[http][client][stream]") {
  World world;
  ScriptedServer server(world.loop, [&](ScriptedConnection& c, int) -> Awaitable<void> {
    const std::string head = co_await c.read_head();
    std::uint64_t sent = 0;
    co_await c.write("HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n");
    co_await write_many(c, 200000, sent);
  });
  CheckedSink sink;
  Request request(server.url("/"));
  request.sink = &sink;
  const Result<Response> response = world.send(std::move(request));
  REQUIRE_FALSE(response.ok());
  CHECK(response.error().kind == ErrorKind::retry);
  CHECK(response.error().code == "curl_partial");
  CHECK(sink.got == 200000);
  CHECK(sink.right);
}

TEST_CASE("stream: on a stale connection the body is sent again from its start",
          "[http][client][stream]") {
  const bool can_rewind = GENERATE(true, false);
  World world;
  std::string body;
  ScriptedServer server(world.loop, [&](ScriptedConnection& c, int number) -> Awaitable<void> {
    const std::string head = co_await c.read_head();
    if (number == 1) {
      co_await c.write(http_answer(200, "first"));
      const std::string next = co_await c.read_head();
      const std::string some = co_await c.read_exactly(100);
      co_return;  // goes without an answer, in the middle of the second request
    }
    body = co_await c.read_exactly(1000);
    co_await c.write(http_answer(200, "second"));
    co_await c.until_closed();
  });
  REQUIRE(world.send(Request(server.url("/"))).ok());
  MadeSource source(1000);
  source.stated = 1000;
  source.can_rewind = can_rewind;
  Request request(Method::put, server.url("/"));
  request.source = &source;
  const Result<Response> response = world.send(std::move(request));
  CHECK(source.rewinds == 1);
  if (can_rewind) {
    REQUIRE(response.ok());
    CHECK(response->body == "second");
    CHECK(body == pattern(0, 1000));
  } else {
    REQUIRE_FALSE(response.ok());
    CHECK(response.error().kind == ErrorKind::retry);
  }
}

TEST_CASE("stream: cancellation reaches a source or sink that waits", "[http][client][stream]") {
  World world;
  bool closed = false;
  ScriptedServer server(world.loop, [&](ScriptedConnection& c, int) -> Awaitable<void> {
    const std::string head = co_await c.read_head();
    if (head.starts_with("GET")) {
      co_await c.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
    }
    co_await c.until_closed();
    closed = true;
  });
  Event gate(world.loop.executor());
  MadeSource source(10);
  source.gate = &gate;
  CheckedSink sink;
  sink.gate = &gate;
  const bool upload = GENERATE(true, false);
  const auto body = [&]() -> Awaitable<void> {
    Request request(upload ? Method::put : Method::get, server.url("/"));
    if (upload) request.source = &source;
    if (!upload) request.sink = &sink;
    const Result<Response> response = co_await world.client->send(std::move(request));
  };
  testing::Started started(world.loop, body());
  REQUIRE(world.loop.run_until([&] { return upload ? source.waiting : sink.waiting; }));
  CHECK_FALSE(started.done());
  started.cancel();
  REQUIRE(world.loop.run_until([&] { return closed; }));
  CHECK(started.done());
  CHECK_THROWS_AS(started.rethrow(), boost::system::system_error);
}

}  // namespace pn::http
