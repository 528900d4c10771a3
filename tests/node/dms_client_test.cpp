#include "node/dms_client.hpp"

#include "base/awaitable.hpp"
#include "base/json.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "node/claim_choice.hpp"
#include "node/lease.hpp"
#include "node/receipt.hpp"
#include "tests/auth/fake_dds.hpp"
#include "tests/node/fake_dms.hpp"
#include "tests/support/fake_rng.hpp"
#include "tests/support/test_loop.hpp"

#include <chrono>
#include <optional>
#include <string>

#include <catch2/catch.hpp>

namespace pn::node {
namespace {

using namespace std::chrono_literals;
using pn::testing::FakeDds;
using testing::envelope;
using testing::FakeDms;
using testing::FakeTokens;
using testing::Reply;

struct Fixture {
  pn::testing::TestLoop loop;
  pn::testing::FakeRng rng;
  FakeDms dms{loop.clock};
  FakeTokens tokens;
  DmsOptions options{http::Url::parse("https://dms.example/v1/").value()};

  DmsClient client() { return DmsClient(dms, tokens, loop.clock, rng, options); }
};

/// A wall clock that goes on by itself, whatever becomes of the node's.
struct MarketClock {
  explicit MarketClock(const pn::testing::FakeClock& clock)
      : clock_(clock), wall_(clock.system_now()), steady_(clock.steady_now()) {}

  [[nodiscard]] SystemTime now() const {
    const SteadyTime::duration since = clock_.steady_now() - steady_;
    return wall_ + std::chrono::duration_cast<SystemTime::duration>(since) + ahead;
  }

  std::chrono::hours ahead{0};

 private:
  const pn::testing::FakeClock& clock_;
  SystemTime wall_;
  SteadyTime steady_;
};

std::string header(const FakeDms::Call& call, std::string_view name) {
  return std::string(call.headers.find(name).value_or(""));
}

}  // namespace

TEST_CASE("dms: a claim carries the token, a trace and nothing it need not", "[node][dms]") {
  Fixture f;
  DmsClient client = f.client();
  f.dms.claims.push_back(Reply(200, envelope(f.loop.clock, "t1")));
  const Result<Claim> claim = f.loop.run(client.claim());
  REQUIRE(claim.ok());
  REQUIRE(claim->lease);
  CHECK(claim->lease->task.id.str() == "t1");
  CHECK(claim->lease->remaining == 30s);
  REQUIRE(f.dms.calls.size() == 1);
  const FakeDms::Call& call = f.dms.calls[0];
  CHECK(call.method == "GET");
  CHECK(call.path == "/v1/tasks");
  CHECK(header(call, "authorization") == "Bearer t1");
  CHECK(header(call, "prefer").empty());
  const std::string trace = header(call, "traceparent");
  REQUIRE(trace.size() == 55);
  CHECK(trace.starts_with("00-"));
  CHECK(trace.ends_with("-01"));
  CHECK(trace.substr(3, 32) == claim->lease->trace_id);
}

TEST_CASE("dms: long polling is asked for and noticed", "[node][dms]") {
  Fixture f;
  ClaimAsk ask;
  ask.hold = 30s;
  DmsClient client = f.client();
  Reply held(204, std::string());
  held.headers.set("Preference-Applied", "wait");
  f.dms.claims.push_back(held);
  const Result<Claim> claim = f.loop.run(client.claim(ask));
  REQUIRE(claim.ok());
  CHECK(claim->waited);
  CHECK(header(f.dms.calls[0], "prefer") == "wait=30");
  CHECK(f.dms.calls[0].query.empty());
  const Result<Claim> plain = f.loop.run(client.claim());
  REQUIRE(plain.ok());
  CHECK_FALSE(plain->waited);
}

TEST_CASE("dms: 204 and 409 are no work, the rest is an error", "[node][dms]") {
  Fixture f;
  DmsClient client = f.client();
  for (const int status : {204, 409}) {
    Reply nothing(status, std::string());
    nothing.headers.set("retry-after", "7");
    f.dms.claims.push_back(nothing);
    const Result<Claim> claim = f.loop.run(client.claim());
    REQUIRE(claim.ok());
    CHECK_FALSE(claim->lease);
    CHECK(claim->retry_after == 7s);
  }
  for (const int status : {400, 403, 404, 429, 500, 503, 302}) {
    INFO(status);
    f.dms.claims.push_back(Reply(status, std::string()));
    CHECK_FALSE(f.loop.run(client.claim()).ok());
  }
}

TEST_CASE("dms: 401 renews once and retries once", "[node][dms]") {
  Fixture f;
  DmsClient client = f.client();
  f.dms.claims.push_back(Reply(401, std::string()));
  f.dms.claims.push_back(Reply(200, envelope(f.loop.clock, "t1")));
  REQUIRE(f.loop.run(client.claim()).ok());
  REQUIRE(f.dms.calls.size() == 2);
  CHECK(header(f.dms.calls[0], "authorization") == "Bearer t1");
  CHECK(header(f.dms.calls[1], "authorization") == "Bearer t2");

  f.dms.claims.push_back(Reply(401, std::string()));
  f.dms.claims.push_back(Reply(401, std::string()));
  const Result<Claim> refused = f.loop.run(client.claim());
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().kind == ErrorKind::unauthorized);
  CHECK(f.dms.calls.size() == 4);
}

TEST_CASE("dms: no request goes out without a token", "[node][dms]") {
  Fixture f;
  DmsClient client = f.client();
  f.tokens.failure = Error(ErrorKind::unauthorized, "sign_in_refused", "no");
  const Result<Claim> claim = f.loop.run(client.claim());
  REQUIRE_FALSE(claim.ok());
  CHECK(claim.error().code == "sign_in_refused");
  CHECK(f.dms.calls.empty());
}

TEST_CASE("heartbeat_faults: a sign-in that fails says nothing of the lease",
          "[node][dms][heartbeat_faults]") {
  Fixture f;
  DmsClient client = f.client();
  // What DDS answers while it has lost its database; DMS was not even asked.
  f.tokens.failure = Error(ErrorKind::restart, "registration_gone", "404");
  const Result<LeaseUpdate> beat = f.loop.run(client.heartbeat(TaskId("t1"), "{}", ""));
  REQUIRE_FALSE(beat.ok());
  CHECK(beat.error().kind == ErrorKind::retry);
  CHECK(f.dms.calls.empty());
}

TEST_CASE("dms: a lease that cannot be read is handed on with its id", "[node][dms]") {
  Fixture f;
  DmsClient client = f.client();
  f.dms.claims.push_back(
      Reply(200, std::string(R"({"lease_id":"L","task":{"id":"t9","capability":7}})")));
  const Result<Claim> claim = f.loop.run(client.claim());
  REQUIRE(claim.ok());
  REQUIRE(claim->broken);
  CHECK(claim->broken->task.str() == "t9");
  CHECK(claim->broken->id.str() == "L");
  REQUIRE(claim->fault);
  f.dms.claims.push_back(Reply(200, std::string("{")));
  CHECK(f.loop.run(client.claim()).error().kind == ErrorKind::corrupt);
}

TEST_CASE("dms: which heartbeat answers lose the lease", "[node][dms]") {
  Fixture f;
  DmsClient client = f.client();
  const auto beat = [&](Reply reply) {
    f.dms.on_heartbeat = [reply](const Json&) { return reply; };
    return f.loop.run(client.heartbeat(TaskId("a/b"), R"({"progress":{},"events":[]})", "0"));
  };
  for (const int status : {401, 403, 404, 409, 410}) {
    INFO(status);
    const Result<LeaseUpdate> lost = beat(Reply(status, std::string()));
    REQUIRE_FALSE(lost.ok());
    CHECK(lost.error().kind == ErrorKind::restart);
    CHECK(lost.error().code == "lease_lost");
  }
  for (const int status : {400, 408, 422, 425, 429, 500, 502, 503, 507, 301}) {
    INFO(status);
    const Result<LeaseUpdate> open = beat(Reply(status, std::string()));
    REQUIRE_FALSE(open.ok());
    CHECK(open.error().kind != ErrorKind::restart);
  }
  CHECK(beat(Reply(200, std::string("not json"))).error().kind == ErrorKind::corrupt);
  CHECK(beat(Reply(204, std::string())).ok());
  CHECK(f.dms.calls.back().path == "/v1/tasks/a%2Fb/heartbeat");
}

TEST_CASE("dms: which receipt answers are final", "[node][dms]") {
  Fixture f;
  DmsClient client = f.client();
  const auto send = [&](Reply reply, Outcome outcome) {
    f.dms.on_receipt = [reply](const FakeDms::Call&) { return reply; };
    return f.loop.run(client.send(Receipt{TaskId("t"), outcome, "{}", "0"}));
  };
  CHECK(send(Reply(200, std::string()), Outcome::completed).ok());
  CHECK(f.dms.calls.back().path == "/v1/tasks/t/complete");
  CHECK(send(Reply(204, std::string()), Outcome::failed).ok());
  CHECK(f.dms.calls.back().path == "/v1/tasks/t/fail");
  for (const int status : {400, 403, 404, 409, 410, 413, 422}) {
    INFO(status);
    const Result<void> refused = send(Reply(status, std::string()), Outcome::completed);
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().code == "receipt_refused");
    CHECK(refused.error().kind == ErrorKind::rejected);
  }
  for (const int status : {401, 408, 425, 429, 500, 503, 507, 302}) {
    INFO(status);
    const Result<void> later = send(Reply(status, std::string()), Outcome::completed);
    REQUIRE_FALSE(later.ok());
    CHECK(later.error().kind == ErrorKind::retry);
  }
  CHECK(send(Reply::error({ErrorKind::internal, "x", "y"}), Outcome::failed).error().kind ==
        ErrorKind::retry);
}

TEST_CASE("dms: the lease is read by the server's clock", "[node][dms]") {
  Fixture f;
  DmsClient client = f.client();
  const auto claim_with = [&](std::chrono::seconds skew) {
    Json body = envelope(f.loop.clock, "t", 30s);
    body["lease_expires_at"] = format_rfc3339(f.loop.clock.system_now() + skew + 30s);
    Reply reply(200, body);
    // 2026-11-20 is a Friday; the clock stands at 10:00:00.
    REQUIRE(f.loop.clock.system_now() == *parse_rfc3339("2026-11-20T10:00:00Z"));
    reply.headers.set("date",
                      skew == 0s     ? "Fri, 20 Nov 2026 10:00:00 GMT"
                      : skew == 600s ? "Fri, 20 Nov 2026 10:10:00 GMT"
                                     : "Fri, 20 Nov 2026 09:50:00 GMT");
    f.dms.claims.push_back(reply);
    return *f.loop.run(client.claim())->lease->remaining;
  };
  const auto skew = GENERATE(0, 600, -600);
  const Millis left = claim_with(std::chrono::seconds(skew));
  CHECK(left <= 30s);
  CHECK(left >= 28s);
}

TEST_CASE("dms: a lease that never ends lasts a year, one of long ago is over", "[node][dms]") {
  Fixture f;
  DmsClient client = f.client();
  Json body = envelope(f.loop.clock, "t", 30s);
  const auto [text, years] = GENERATE(table<std::string, int>({
      {"9999-12-31T23:59:59Z", 1},
      {"0001-01-01T00:00:00Z", -1},
  }));
  body["lease_expires_at"] = text;
  f.dms.claims.push_back(Reply(200, body));
  const Result<Claim> claim = f.loop.run(client.claim());
  REQUIRE(claim.ok());
  CHECK(claim->lease->remaining == std::chrono::hours(years * 24 * 365));
}

TEST_CASE("dms: cancellation ends a call", "[node][dms]") {
  Fixture f;
  DmsClient client = f.client();
  f.dms.claims.push_back(Reply::hang());
  bool ended = false;
  const auto body = [&]() -> Awaitable<void> {
    const Result<Claim> claim = co_await client.claim();
    static_cast<void>(claim);
    ended = true;
  };
  pn::testing::Started started(f.loop, body());
  f.loop.poll();
  started.cancel();
  f.loop.poll();
  CHECK(started.done());
  CHECK(started.failed());
  CHECK_FALSE(ended);
}

TEST_CASE("lease_fence: an answer read late, by a process that was stopped, extends nothing",
          "[node][dms][lease_fence]") {
  Fixture f;
  DmsClient client = f.client();
  const SystemTime sent = f.loop.clock.system_now();
  Reply late(200, Json{{"lease_expires_at", format_rfc3339(sent + 2s)}});
  late.headers.set("date", "Fri, 20 Nov 2026 10:00:00 GMT");  // as it was when it was sent
  late.after = 4s;
  f.dms.on_heartbeat = [&](const Json&) { return late; };
  std::optional<Result<LeaseUpdate>> update;
  const auto call = [&]() -> Awaitable<void> {
    update = co_await client.heartbeat(TaskId("t1"), "{}", "trace");
  };
  pn::testing::Started started(f.loop, call());
  f.loop.advance(4s);
  REQUIRE(update);
  REQUIRE(update->ok());
  CHECK((*update)->remaining == 2s);  // of what there was when it was sent
}

TEST_CASE("lease_fence: a clock that is set makes no lease longer", "[node][dms][lease_fence]") {
  using std::chrono::hours;
  const auto [what, node_before, node_during, market_ahead] =
      GENERATE(table<const char*, hours, hours, hours>({
          {"the node's forward, before the beat", 1h, 0h, 0h},
          {"the node's back, before the beat", -1h, 0h, 0h},
          {"the node's forward, during the beat", 0h, 1h, 0h},
          {"the node's back, during the beat", 0h, -1h, 0h},
          {"the market's forward", 0h, 0h, 1h},
          {"the market's back", 0h, 0h, -1h},
      }));
  const Millis took(GENERATE(500, 1500));  // the second tells no time
  CAPTURE(what, took.count());
  Fixture f;
  DmsClient client = f.client();
  MarketClock market(f.loop.clock);
  Millis after{0};
  f.dms.on_heartbeat = [&](const Json&) {
    Reply reply(200, Json{{"lease_expires_at", format_rfc3339(market.now() + 30s)}});
    reply.headers.set("date", FakeDds::http_date(market.now()));
    reply.after = after;
    return reply;
  };
  REQUIRE(f.loop.run(client.heartbeat(TaskId("t1"), "{}", "trace"))->remaining == 30s);

  f.loop.clock.step_system(node_before);
  market.ahead = market_ahead;
  after = took;
  std::optional<Result<LeaseUpdate>> update;
  const auto call = [&]() -> Awaitable<void> {
    update = co_await client.heartbeat(TaskId("t1"), "{}", "trace");
  };
  const pn::testing::Started started(f.loop, call());
  f.loop.poll();
  f.loop.clock.step_system(node_during);
  f.loop.advance(took);
  REQUIRE(update);
  REQUIRE(update->ok());
  REQUIRE((*update)->remaining);
  CHECK(*(*update)->remaining <= 31s);
  if (took == 500ms) CHECK(*(*update)->remaining >= 28s);
}

TEST_CASE("lease_fence: a clock that is set during a claim makes no lease longer",
          "[node][dms][lease_fence]") {
  Fixture f;
  DmsClient client = f.client();
  const MarketClock market(f.loop.clock);
  Reply reply(200, envelope(f.loop.clock, "t1"));
  reply.headers.set("date", FakeDds::http_date(market.now()));
  reply.after = 500ms;
  f.dms.claims.push_back(reply);
  std::optional<Result<Claim>> claim;
  const auto call = [&]() -> Awaitable<void> { claim = co_await client.claim(); };
  const pn::testing::Started started(f.loop, call());
  f.loop.poll();
  f.loop.clock.step_system(1h);
  f.loop.advance(500ms);
  REQUIRE(claim);
  REQUIRE(claim->ok());
  CHECK(*(*claim)->lease->remaining <= 31s);
  CHECK(*(*claim)->lease->remaining >= 28s);
}

}  // namespace pn::node
