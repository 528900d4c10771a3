#include "node/write_fence.hpp"

#include "base/awaitable.hpp"
#include "base/result.hpp"
#include "http/body.hpp"
#include "http/client.hpp"
#include "http/types.hpp"
#include "tests/support/fake_clock.hpp"
#include "tests/support/test_loop.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <utility>

#include <catch2/catch.hpp>

namespace pn::node {
namespace {

using namespace std::chrono_literals;

/// Takes a body in pieces of four bytes, with a word before each; asks whether it may send when
/// libcurl would: on the connection, and before each piece that is in its hands already.
struct PiecewiseHttp final : http::HttpClient {
  std::function<void()> connect = [] {};
  std::function<void()> before_piece = [] {};
  int requests = 0;
  std::string taken;

  Awaitable<Result<http::Response>> send(http::Request request) override {
    connect();
    const Result<void> begins = request.may_send();
    if (!begins) co_return begins.error();
    ++requests;
    std::array<char, 4> buffer{};
    while (request.source != nullptr) {
      const Result<std::size_t> read = co_await request.source->read(buffer);
      if (!read) co_return read.error();
      if (*read == 0) break;
      before_piece();
      const Result<void> goes_on = request.may_send();
      if (!goes_on) co_return goes_on.error();
      taken.append(buffer.data(), *read);
    }
    co_return http::Response{.status = 200, .headers = {}, .body = {}};
  }
};

struct Fixture {
  pn::testing::TestLoop loop;
  PiecewiseHttp inner;
  WriteFence fence;
  FencedHttp http{inner, loop.clock, fence};
  http::StringSource body{"12345678"};

  Result<http::Response> put() {
    http::Request request(http::Method::put, http::Url::parse("http://127.0.0.1/x").value());
    request.source = &body;
    return loop.run(http.send(std::move(request)));
  }
};

}  // namespace

TEST_CASE("lease_fence: a closed fence stays closed", "[node][lease_fence]") {
  Fixture f;
  f.fence.set(f.loop.clock.steady_now() + 1h);
  CHECK(f.put().ok());
  f.fence.close();
  f.fence.set(f.loop.clock.steady_now() + 1h);  // a beat that was under way
  CHECK(f.fence.passed(f.loop.clock));
  CHECK(f.put().error().code == "lease_lost");
}

TEST_CASE("lease_fence: before the fence a body goes out whole", "[node][lease_fence]") {
  Fixture f;
  f.fence.set(f.loop.clock.steady_now() + 1ms);
  REQUIRE(f.put().ok());
  CHECK(f.inner.taken == "12345678");
}

TEST_CASE("lease_fence: past it no request is made", "[node][lease_fence]") {
  Fixture f;
  SECTION("in time") {
    f.fence.set(f.loop.clock.steady_now() + 10s);
    f.loop.clock.advance(10s);
  }
  SECTION("for good") { f.fence.close(); }
  const Result<http::Response> answer = f.put();
  REQUIRE_FALSE(answer.ok());
  CHECK(answer.error().kind == ErrorKind::restart);
  CHECK(answer.error().code == "lease_lost");
  CHECK(f.inner.requests == 0);
}

TEST_CASE("lease_fence: past it no request goes out on a connection that took long",
          "[node][lease_fence]") {
  Fixture f;
  f.fence.set(f.loop.clock.steady_now() + 10s);
  f.inner.connect = [&] { f.loop.clock.advance(20s); };  // stopped in DNS or TLS
  http::Request request(http::Method::put, http::Url::parse("http://127.0.0.1/x").value());
  SECTION("with a source") { request.source = &f.body; }
  SECTION("with a body in memory") { request.body = "12345678"; }
  const Result<http::Response> answer = f.loop.run(f.http.send(std::move(request)));
  REQUIRE_FALSE(answer.ok());
  CHECK(answer.error().kind == ErrorKind::restart);
  CHECK(answer.error().code == "lease_lost");
  CHECK(f.inner.requests == 0);
}

TEST_CASE("lease_fence: a canceled job's upload is taken back, and nothing else is sent",
          "[node][lease_fence]") {
  Fixture f;
  const http::Url url = http::Url::parse("http://127.0.0.1/x").value();
  const bool canceled = GENERATE(true, false);
  if (canceled) {
    f.fence.cancel();
  } else {
    f.fence.close();
  }
  CHECK_FALSE(f.put().ok());
  CHECK(f.loop.run(f.http.send(http::Request(http::Method::del, url))).ok() == canceled);
  CHECK(f.inner.requests == (canceled ? 1 : 0));
}

TEST_CASE("lease_fence: a process that was stopped in an upload sends no further piece",
          "[node][lease_fence]") {
  Fixture f;
  f.fence.set(f.loop.clock.steady_now() + 10s);
  f.inner.before_piece = [&] {
    if (f.inner.taken.size() == 4) f.loop.clock.advance(20s);  // no timer has run
  };
  const Result<http::Response> answer = f.put();
  REQUIRE_FALSE(answer.ok());
  CHECK(answer.error().code == "lease_lost");
  CHECK(f.inner.taken == "1234");
}

TEST_CASE("lease_fence: a renewal that came in time lets the upload go on", "[node][lease_fence]") {
  Fixture f;
  f.fence.set(f.loop.clock.steady_now() + 10s);
  f.inner.before_piece = [&] {
    f.loop.clock.advance(9s);
    f.fence.set(f.loop.clock.steady_now() + 10s);
  };
  CHECK(f.put().ok());
  CHECK(f.inner.taken == "12345678");
}

}  // namespace pn::node
