#include "auth/dds_client.hpp"

#include "auth/dds_json.hpp"
#include "auth/wallet.hpp"
#include "base/awaitable.hpp"
#include "base/json.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "tests/auth/fake_dds.hpp"
#include "tests/auth/known_answers.hpp"
#include "tests/support/fake_http.hpp"
#include "tests/support/test_loop.hpp"

#include <chrono>
#include <string>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

using namespace pn;           // NOLINT(google-build-using-namespace)
using namespace pn::auth;     // NOLINT(google-build-using-namespace)
using namespace pn::testing;  // NOLINT(google-build-using-namespace)
using namespace std::chrono_literals;

namespace {
struct Subject {
  TestLoop loop;
  FakeDds dds{loop.clock};
  Wallet wallet = known_wallet();
  DdsClient client{dds, loop.clock, url_of("https://dds.example/prefix/"), wallet, 60s};

  Result<IssuedToken> sign_in() { return loop.run(client.sign_in()); }
};
std::string without(std::string_view key) {
  Json body = Json::parse(kChallengeBody);
  body.erase(std::string(key));
  return body.dump();
}
}  // namespace

TEST_CASE("dds: a challenge is signed as the known answer says", "[auth][dds]") {
  Subject subject;
  const Result<SignedMessage> out = subject.loop.run(subject.client.signed_challenge());
  REQUIRE(out);
  CHECK(out->message == kKnownMessage);
  CHECK(out->signature == kKnownSignature);
  CHECK(Json::parse(subject.dds.last_body) == Json{{"wallet", kKnownAddress}});
}

TEST_CASE("dds: registration sends message, signature, secret, capabilities and version",
          "[auth][dds]") {
  Subject subject;
  const Registration registration = known_identity().registration;
  const Result<void> out = subject.loop.run(subject.client.register_wallet(registration));
  REQUIRE(out.ok());
  const Json body = Json::parse(subject.dds.last_body);
  CHECK(body == Json{{"message", kKnownMessage},
                     {"signature", kKnownSignature},
                     {"registration_credentials", "reg-secret"},
                     {"capabilities", {"/noop/v1"}},
                     {"version", "1.2.3"}});
}

TEST_CASE("dds: a challenge that lacks or bends a field is corrupt", "[auth][dds]") {
  Subject subject;
  std::string bad_line(kChallengeBody);
  bad_line.replace(bad_line.find("abc123"), 6, "a\\nResources:");
  std::string empty_nonce(kChallengeBody);
  empty_nonce.replace(empty_nonce.find("abc123"), 6, "");
  const std::string body = GENERATE_COPY(without("nonce"),
                                         without("domain"),
                                         without("uri"),
                                         without("version"),
                                         without("chainId"),
                                         without("issuedAt"),
                                         bad_line,
                                         empty_nonce,
                                         std::string("<html>"),
                                         std::string());
  subject.dds.challenge = [&] { return json_answer(200, body); };
  const Result<IssuedToken> out = subject.sign_in();
  REQUIRE_FALSE(out);
  CHECK(out.error().kind == ErrorKind::corrupt);
  CHECK(subject.dds.logins == 0);
}

TEST_CASE("dds: a sign-in brings a token and how long it lasts", "[auth][dds]") {
  Subject subject;
  SECTION("with the newer name of the expiry") {
    const Result<IssuedToken> out = subject.sign_in();
    REQUIRE(out);
    CHECK(out->token.reveal() == "token-1");
    CHECK(out->ttl == 1h);
    CHECK(out->asked_at == subject.loop.clock.steady_now());
  }
  SECTION("with the older one, and no date") {
    subject.dds.verification = [] {
      return json_answer(200, R"({"access_token":"t","expires_at":"2026-11-20T10:10:00Z"})");
    };
    const Result<IssuedToken> out = subject.sign_in();
    REQUIRE(out);
    CHECK(out->ttl == 10min);
  }
  const Json sent = Json::parse(subject.dds.last_body);
  CHECK(sent == Json{{"address", kKnownAddress},
                     {"message", kKnownMessage},
                     {"signature", kKnownSignature}});
}

TEST_CASE("dds: a clock that is wrong by ten minutes does not change a token's life",
          "[auth][dds]") {
  Subject subject;
  subject.dds.skew = GENERATE(Millis(10min), Millis(-10min));
  subject.dds.ttl = 5min;
  const Result<IssuedToken> out = subject.sign_in();
  REQUIRE(out);
  CHECK(out->ttl <= 5min);  // `Date` has whole seconds: rather too short than too long
  CHECK(out->ttl >= 5min - 1s);
  CHECK(std::chrono::abs(out->clock_skew - subject.dds.skew) <= 1s);
}

TEST_CASE("dds: an answer without a usable token is corrupt", "[auth][dds]") {
  Subject subject;
  const std::string body =
      GENERATE(std::string(R"({"access_token":"","access_expires_at":"2026-11-20T11:00:00Z"})"),
               std::string(R"({"access_expires_at":"2026-11-20T11:00:00Z"})"),
               std::string(R"({"access_token":"t"})"),
               std::string(R"({"access_token":"t","access_expires_at":"soon"})"),
               std::string(R"({"access_token":"t","access_expires_at":"2026-11-20T09:59:59Z"})"),
               std::string("{\"access_token\":\"a\\r\\nb\",\"access_expires_at\":"
                           "\"2026-11-20T11:00:00Z\"}"),
               std::string("[]"));
  subject.dds.verification = [&] { return json_answer(200, body); };
  const Result<IssuedToken> out = subject.sign_in();
  REQUIRE_FALSE(out);
  CHECK(out.error().kind == ErrorKind::corrupt);
}

TEST_CASE("dds: 403 and 404 at verify mean that the registration is gone", "[auth][dds]") {
  Subject subject;
  const int status = GENERATE(403, 404);
  subject.dds.verification = [&] { return json_answer(status, "{}"); };
  const Result<IssuedToken> out = subject.sign_in();
  REQUIRE_FALSE(out);
  CHECK(out.error().kind == ErrorKind::restart);
  CHECK(out.error().code == "registration_gone");
}

TEST_CASE("dds: 404 at the challenge does not", "[auth][dds]") {
  Subject subject;
  subject.dds.challenge = [] { return json_answer(404, "{}"); };
  const Result<IssuedToken> out = subject.sign_in();
  REQUIRE_FALSE(out);
  CHECK(out.error().kind == ErrorKind::not_found);
}

TEST_CASE("dds: cancelling ends a sign-in in the middle", "[auth][dds]") {
  Subject subject;
  subject.dds.latency = 10s;
  auto op = [&]() -> Awaitable<void> {
    const Result<IssuedToken> out = co_await subject.client.sign_in();
    CHECK_FALSE(out);
  };
  Started started(subject.loop, op());
  subject.loop.poll();
  CHECK_FALSE(started.done());
  started.cancel();
  subject.loop.poll();
  CHECK(started.done());
  CHECK(started.failed());
}
