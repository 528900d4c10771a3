#include "base/awaitable.hpp"
#include "base/result.hpp"
#include "http/body.hpp"
#include "http/client.hpp"
#include "http/types.hpp"
#include "tests/http/scripted_server.hpp"
#include "tests/support/test_loop.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include <boost/system/system_error.hpp>
#include <catch2/catch.hpp>

namespace pn::http {
namespace {

using testing::http_answer;
using testing::ScriptedConnection;
using testing::ScriptedServer;
using testing::TestLoop;

/// What one read of a source brings at most.
constexpr std::uint64_t kBuffer = 512 * 1024;

Error stopped() { return {ErrorKind::restart, "stopped", "it was said to stop"}; }

/// As many bytes as it was made for, in whole buffers.
class PlainSource final : public BodySource {
 public:
  explicit PlainSource(std::uint64_t total) : total_(total) {}
  [[nodiscard]] std::optional<std::uint64_t> size() const override { return total_; }
  Awaitable<Result<std::size_t>> read(std::span<char> buffer) override {
    const std::size_t count = std::min<std::uint64_t>(buffer.size(), total_ - given);
    std::fill_n(buffer.begin(), count, 'x');
    given += count;
    co_return count;
  }
  bool rewind() override { return false; }

  std::uint64_t given = 0;

 private:
  std::uint64_t total_;
};

/// A server that answers each request as soon as its body is whole, and keeps what it was sent.
struct World {
  TestLoop loop;
  std::unique_ptr<HttpClient> client = *make_http_client(loop.executor(), {});
  std::string heads;
  std::uint64_t body_bytes = 0;
  int closed = 0;
  ScriptedServer server{loop, [this](ScriptedConnection& c, int) -> Awaitable<void> {
                          try {
                            for (;;) co_await answer(c);
                          } catch (const boost::system::system_error&) {
                            ++closed;
                          }
                        }};

  Awaitable<void> answer(ScriptedConnection& c) {
    const std::string head = co_await c.read_head();
    heads += head;
    const std::size_t at = head.find("Content-Length: ");
    std::size_t left = at == std::string::npos ? 0 : std::stoul(head.substr(at + 16));
    while (left > 0) {
      const std::string piece = co_await c.read_some(std::min<std::size_t>(left, 64 * 1024));
      left -= piece.size();
      body_bytes += piece.size();
    }
    co_await c.write(http_answer(200, "stored"));
  }
  Result<Response> send(Request request) { return loop.run(client->send(std::move(request))); }
  /// The client has closed a connection, and the server has read all that came by it.
  bool closes() {
    return loop.run_until([this] { return closed > 0; });
  }
};

}  // namespace

TEST_CASE("may send: a body breaks off in what the source gave before", "[http][client]") {
  World world;
  PlainSource source(2 * kBuffer);
  Request request(Method::put, world.server.url("/"));
  request.source = &source;
  // Both buffers are filled while it may be sent, and only the first is on its way then.
  request.may_send = [&] { return source.given < 2 * kBuffer ? Result<void>() : stopped(); };
  const Result<Response> response = world.send(std::move(request));
  REQUIRE_FALSE(response.ok());
  CHECK(response.error() == stopped());
  REQUIRE(world.closes());
  CHECK(source.given == 2 * kBuffer);
  CHECK(world.body_bytes > 0);
  CHECK(world.body_bytes <= kBuffer);
}

TEST_CASE("may send: nothing goes out on a connection that came too late", "[http][client]") {
  const bool pooled = GENERATE(false, true);
  World world;
  if (pooled) REQUIRE(world.send(Request(world.server.url("/first"))).ok());
  PlainSource source(1000);
  Request request(Method::put, world.server.url("/late"));
  SECTION("a body in memory") { request.body = "{}"; }
  SECTION("a source") { request.source = &source; }
  SECTION("no body") {}
  request.may_send = [] { return Result<void>(stopped()); };
  const Result<Response> response = world.send(std::move(request));
  REQUIRE_FALSE(response.ok());
  CHECK(response.error() == stopped());
  REQUIRE(world.closes());
  CHECK(world.server.connections() == 1);
  CHECK_THAT(world.heads, !Catch::Contains("/late"));
  CHECK(source.given == 0);

  // The handle has forgotten it.
  CHECK(world.send(Request(world.server.url("/next"))).ok());
}

TEST_CASE("may send: it is asked before the request and before each piece", "[http][client]") {
  World world;
  PlainSource source(2 * kBuffer);
  Request request(Method::put, world.server.url("/"));
  request.source = &source;
  int asked = 0;
  request.may_send = [&] {
    ++asked;
    return Result<void>();
  };
  REQUIRE(world.send(std::move(request)).ok());
  CHECK(asked >= 1 + 8);  // 128 KiB at most
  CHECK(world.body_bytes == 2 * kBuffer);
}

}  // namespace pn::http
