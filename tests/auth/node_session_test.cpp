#include "auth/node_session.hpp"

#include "auth/access_tokens.hpp"
#include "auth/token_core.hpp"
#include "base/awaitable.hpp"
#include "base/deadline.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "http/client.hpp"
#include "tests/auth/fake_dds.hpp"
#include "tests/support/fake_http.hpp"
#include "tests/support/fake_rng.hpp"

#include <chrono>
#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

using namespace pn;           // NOLINT(google-build-using-namespace)
using namespace pn::auth;     // NOLINT(google-build-using-namespace)
using namespace pn::testing;  // NOLINT(google-build-using-namespace)
using namespace std::chrono_literals;

namespace {

struct Subject {
  ~Subject() { stop(); }

  void start() {
    running.emplace(loop, session.run());
    loop.poll();
  }
  void stop() {
    for (auto& caller : callers) caller.cancel();
    if (running) running->cancel();
    loop.poll();
  }
  /// A caller that keeps what it got.
  void ask() { callers.emplace_back(loop, ask_once()); }
  Awaitable<void> ask_once() {
    const Result<AccessToken> out = co_await session.token();
    answers.push_back(out.ok() ? out->reveal() : out.error().code);
  }

  TestLoop loop;
  FakeDds dds{loop.clock};
  FakeRng rng;
  NodeSession session{loop.executor(),
                      loop.clock,
                      rng,
                      dds,
                      url_of("https://dds.example"),
                      known_identity(),
                      SessionSettings{},
                      log::Logger{}};
  std::vector<std::string> answers;
  std::list<Started> callers;
  std::optional<Started> running;
};

Result<http::Response> status(int code) { return json_answer(code, "{}"); }

}  // namespace

TEST_CASE("token: the renewal point is the ratio of the life, jittered, never past its end",
          "[auth][token]") {
  FakeRng rng(static_cast<std::uint64_t>(GENERATE(range(1, 21))));
  const SteadyTime start{};
  const TokenTimes hour = token_times(start, 1h, {}, rng);
  CHECK(hour.expires_at - start == 1h);
  CHECK(hour.renew_at - start >= 45min - 500ms);
  CHECK(hour.renew_at - start <= 45min + 500ms);

  const TokenTimes all = token_times(start, 1h, {.safety_ratio = 1.0}, rng);
  CHECK(all.renew_at <= all.expires_at);
  const TokenTimes blink = token_times(start, 400ms, {}, rng);
  CHECK(blink.renew_at - start >= 200ms);
  CHECK(blink.renew_at <= blink.expires_at);
  const TokenTimes none = token_times(start, 1h, {.safety_ratio = 0.0}, rng);
  CHECK(none.renew_at - start >= 1s);

  // "9999-12-31": more than the clock's nanoseconds hold.
  const TokenTimes never = token_times(start, std::chrono::hours(24 * 365 * 8000), {}, rng);
  CHECK(never.expires_at - start == std::chrono::hours(24 * 365));
  CHECK(never.renew_at > start + std::chrono::hours(24 * 200));
}

TEST_CASE("session: registers, signs in, and says where it stands", "[auth][session]") {
  Subject subject;
  subject.dds.latency = 1s;
  CHECK(subject.session.status().state == SessionState::registering);
  subject.start();
  subject.loop.advance(2s);
  CHECK(subject.session.status().state == SessionState::registered);
  subject.loop.advance(2s);
  CHECK(subject.session.status().state == SessionState::signed_in);
  CHECK_FALSE(subject.session.status().last_error);
  CHECK(subject.dds.logins == 1);
  CHECK(name(SessionState::signed_in) == "signed_in");
}

TEST_CASE("session: many callers, one login", "[auth][session]") {
  Subject subject;
  subject.dds.latency = 1s;
  for (int i = 0; i < 50; ++i) subject.ask();
  subject.start();
  subject.loop.advance(10s);
  CHECK(subject.answers == std::vector<std::string>(50, "token-1"));
  CHECK(subject.dds.logins == 1);
}

TEST_CASE("session: a storm of 401s makes one login a token, and a newer one is left alone",
          "[auth][session]") {
  Subject subject;
  subject.start();
  REQUIRE(subject.dds.logins == 1);
  subject.dds.latency = 1s;
  const AccessToken used("token-1");
  for (int i = 0; i < 20; ++i) {
    subject.session.reject(used);
    subject.ask();
  }
  subject.loop.advance(3s);
  CHECK(subject.dds.logins == 2);
  CHECK(subject.answers == std::vector<std::string>(20, "token-2"));
  subject.session.reject(used);  // a late 401 to the old one
  subject.loop.advance(3s);
  CHECK(subject.dds.logins == 2);
}

TEST_CASE("session: renewed in the background while callers keep the old token",
          "[auth][session]") {
  Subject subject;
  subject.start();
  subject.loop.advance(44min);
  CHECK(subject.dds.logins == 1);
  subject.dds.latency = 10s;
  subject.loop.advance(1min + 5s);  // the renewal is in flight
  subject.ask();
  subject.loop.poll();
  CHECK(subject.answers == std::vector<std::string>{"token-1"});
  subject.loop.advance(30s);
  CHECK(subject.dds.logins == 2);
}

TEST_CASE("session: 36 hours, the server's clock ten minutes off, never without a token",
          "[auth][session]") {
  Subject subject;
  subject.dds.skew = GENERATE(Millis(10min), Millis(-10min));
  subject.dds.ttl = 20min;
  subject.start();
  for (int i = 0; i < 36 * 60; ++i) {
    subject.loop.advance(1min);
    REQUIRE(subject.session.status().state == SessionState::signed_in);
  }
  CHECK(subject.dds.logins >= 36 * 3);
  CHECK(subject.dds.logins <= 36 * 5);
  CHECK(std::chrono::abs(subject.session.status().clock_skew - subject.dds.skew) <= 1s);
}

TEST_CASE("session: a login is tried four times, then its callers hear why", "[auth][session]") {
  Subject subject;
  subject.dds.verification = [] { return status(500); };
  subject.ask();
  subject.start();
  subject.loop.advance(1500ms);  // three pauses of at most 500 ms
  CHECK(subject.dds.logins == 4);
  CHECK(subject.answers == std::vector<std::string>{"http_500"});
  REQUIRE(subject.session.status().last_error);
  CHECK(subject.session.status().last_error->code == "http_500");

  SECTION("the background tries again by itself") {
    subject.dds.verification = [&] { return subject.dds.token_answer(); };
    subject.loop.advance(3s);
    CHECK(subject.session.status().state == SessionState::signed_in);
    CHECK_FALSE(subject.session.status().last_error);
  }
  SECTION("a caller that asks again has another round at once") {
    subject.dds.verification = [&] { return subject.dds.token_answer(); };
    subject.ask();
    subject.loop.poll();
    CHECK(subject.answers.back() == "token-5");
  }
}

TEST_CASE("session: a renewal that fails leaves the token that is still good", "[auth][session]") {
  Subject subject;
  subject.start();
  subject.dds.verification = [] { return status(503); };
  subject.loop.advance(50min);
  CHECK(subject.dds.logins > 4);
  CHECK(subject.session.status().state == SessionState::signed_in);
  subject.loop.advance(11min);
  CHECK(subject.session.status().state == SessionState::registered);
}

TEST_CASE("session: Retry-After of a login binds its callers too", "[auth][session]") {
  Subject subject;
  subject.dds.verification = [] {
    http::Response answer = json_answer(429, "{}");
    answer.headers.set("retry-after", "30");
    return Result<http::Response>(answer);
  };
  subject.start();
  CHECK(subject.dds.logins == 1);
  subject.ask();
  subject.loop.poll();
  CHECK(subject.answers == std::vector<std::string>{"http_429"});
  subject.loop.advance(29s);
  CHECK(subject.dds.logins == 1);
  subject.loop.advance(2s);
  CHECK(subject.dds.logins == 2);
}

TEST_CASE("session: 403 or 404 at verify registers again, and not in circles", "[auth][session]") {
  const int code = GENERATE(403, 404);
  Subject subject;
  subject.start();
  REQUIRE(subject.dds.registrations == 1);
  subject.dds.verification = [code] { return status(code); };
  subject.session.reject(AccessToken("token-1"));
  subject.loop.poll();
  CHECK(subject.dds.registrations == 3);  // the second verify follows the new registration at once
  subject.loop.advance(60s);
  CHECK(subject.dds.registrations < 10);

  subject.dds.verification = [&] { return subject.dds.token_answer(); };
  subject.loop.advance(2min);
  CHECK(subject.session.status().state == SessionState::signed_in);
}

TEST_CASE("session: a caller that is cancelled takes nobody's login with it", "[auth][session]") {
  Subject subject;
  subject.dds.latency = 1s;
  subject.ask();
  subject.ask();
  subject.start();
  subject.loop.advance(2500ms);
  subject.callers.front().cancel();
  subject.loop.advance(5s);
  CHECK(subject.answers == std::vector<std::string>{"token-1"});
  CHECK(subject.callers.front().failed());
}

TEST_CASE("session: a deadline ends the wait for a token", "[auth][session]") {
  Subject subject;
  subject.dds.registration = [] { return status(401); };
  subject.start();
  auto op = [&]() -> Awaitable<void> {
    Awaitable<Result<AccessToken>> asked = subject.session.token();
    const Deadline deadline = Deadline::in(subject.loop.clock, 10s);
    const Result<AccessToken> out =
        co_await with_deadline<AccessToken>(subject.loop.clock, deadline, std::move(asked));
    subject.answers.push_back(out.ok() ? "token" : out.error().code);
  };
  Started caller(subject.loop, op());
  subject.loop.advance(11s);
  CHECK(subject.answers == std::vector<std::string>{"deadline"});
}

TEST_CASE("session: stopping ends both loops in whatever they do", "[auth][session]") {
  Subject subject;
  SECTION("in a login") {
    subject.dds.latency = 3s;
    subject.start();
    subject.loop.advance(7s);
  }
  SECTION("idle") { subject.start(); }
  subject.running->cancel();
  subject.loop.poll();
  CHECK(subject.running->done());
}
