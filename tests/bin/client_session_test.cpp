#include "bin/client_session.hpp"

#include "auth/jwt.hpp"
#include "base/awaitable.hpp"
#include "base/ids.hpp"
#include "base/json.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "bin/client_settings.hpp"
#include "bin/environment.hpp"
#include "http/client.hpp"
#include "tests/support/fake_http.hpp"
#include "tests/support/fake_rng.hpp"
#include "tests/support/test_loop.hpp"

#include <chrono>
#include <string>
#include <utility>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

using namespace pn;           // NOLINT(google-build-using-namespace)
using namespace pn::bin;      // NOLINT(google-build-using-namespace)
using namespace pn::testing;  // NOLINT(google-build-using-namespace)
using namespace std::chrono_literals;

namespace {

Environment client_environment() {
  return {{"DDS_BASE_URL", "http://127.0.0.1:8480"},
          {"DMS_BASE_URL", "http://127.0.0.1:8480/v1"},
          {"APP_KEY", "key"},
          {"APP_SECRET", "secret"},
          {"DOMAIN_ID", "d1"}};
}

ClientSettings client_settings() {
  ParsedClientSettings parsed = parse_client_settings(client_environment());
  REQUIRE(parsed.faults.empty());
  return std::move(parsed.settings);
}

const auth::SigningKey& key() {
  static const auth::SigningKey made = auth::SigningKey::generate();
  return made;
}

Json good_claims(SystemTime now) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch());
  return {{"iss", "dds"},
          {"domain_id", "d1"},
          {"aud", {"http://127.0.0.1:8480/", "dds"}},
          {"exp", seconds.count() + 3600}};
}

std::string grant_body(const Json& claims) {
  const Json body{{"id", "d1"},
                  {"domain_server", {{"url", "http://127.0.0.1:8480"}}},
                  {"access_token", key().sign(claims.dump())}};
  return body.dump();
}

struct Subject {
  TestLoop loop;
  FakeRng rng;
  int logins = 0;
  int grants = 0;
  int refusals = 0;  ///< how many calls of DMS are answered 401
  int outages = 0;   ///< how many 503
  FakeHttp http{[this](const http::Request& request) { return answer(request); }};
  ClientSession session{http, loop.clock, rng, client_settings()};

  Result<http::Response> answer(const http::Request& request) {
    const std::string& path = request.url.path();
    if (path == "/service/domains-access-token") {
      ++logins;
      return json_answer(200, R"({"access_token":"app-token"})");
    }
    if (path == "/api/v1/domains/d1/auth") {
      ++grants;
      return json_answer(200, grant_body(good_claims(loop.clock.system_now())));
    }
    if (outages-- > 0) return json_answer(503, "{}");
    return json_answer(refusals-- > 0 ? 401 : 200, "{}");
  }
};

}  // namespace

TEST_CASE("client settings: all that is missing or wrong is told at once, and no secret",
          "[bin][client]") {
  const ParsedClientSettings none = parse_client_settings({});
  CHECK(none.faults.size() == 3);
  Environment bad = client_environment();
  bad["DMS_BASE_URL"] = "nonsense";
  bad["DDS_BASE_URL"] = "http://market.example";
  bad["REQUEST_TIMEOUT_SECS"] = "0";
  bad["ALLOW_PLAIN_HTTP"] = "maybe";
  const ParsedClientSettings wrong = parse_client_settings(bad);
  CHECK(wrong.faults.size() == 4);
  for (const std::string& fault : wrong.faults) CHECK(fault.find("secret") == std::string::npos);
}

TEST_CASE("client settings: the API is DDS unless it is named", "[bin][client]") {
  CHECK(client_settings().api_base_url.str() == client_settings().dds_base_url.str());
  Environment named = client_environment();
  named["API_BASE_URL"] = "https://api.example";
  CHECK(parse_client_settings(named).settings.api_base_url.origin() == "https://api.example");
}

TEST_CASE("client session: key and secret become a grant, kept until it is old", "[bin][client]") {
  Subject subject;
  const Result<DomainGrant> grant = subject.loop.run(subject.session.grant());
  REQUIRE(grant);
  CHECK(grant->domain_server.origin() == "http://127.0.0.1:8480");
  REQUIRE(subject.http.requests.size() == 2);
  CHECK(subject.http.requests[0].headers.find("authorization") == "Basic a2V5OnNlY3JldA==");
  CHECK(subject.http.requests[1].headers.find("authorization") == "Bearer app-token");
  CHECK(subject.loop.run(subject.session.grant()).ok());
  CHECK(subject.grants == 1);
  subject.loop.clock.advance(50min);
  CHECK(subject.loop.run(subject.session.grant()).ok());
  CHECK(subject.grants == 2);
}

TEST_CASE("client session: 401 means one new grant and one more try", "[bin][client]") {
  Subject subject;
  subject.refusals = 1;
  const http::Url url = http::Url::parse("http://127.0.0.1:8480/v1/jobs").value();
  CHECK(subject.loop.run(subject.session.send(http::Request(url))).ok());
  CHECK(subject.grants == 2);

  subject.refusals = 2;
  const Result<http::Response> refused = subject.loop.run(subject.session.send(http::Request(url)));
  REQUIRE_FALSE(refused);
  CHECK(refused.error().kind == ErrorKind::unauthorized);
}

TEST_CASE("client session: an outage is waited out, for a while", "[bin][client]") {
  Subject subject;
  const http::Url url = http::Url::parse("http://127.0.0.1:8480/v1/jobs").value();
  std::string outcome;
  auto op = [&]() -> Awaitable<void> {
    http::Request request(url);
    const Result<http::Response> answer = co_await subject.session.send(std::move(request));
    outcome = answer.ok() ? "ok" : answer.error().code;
  };
  SECTION("a short one") {
    subject.outages = 3;
    const Started started(subject.loop, op());
    subject.loop.advance(10s);
    CHECK(outcome == "ok");
  }
  SECTION("a long one") {
    subject.outages = 1000;
    const Started started(subject.loop, op());
    subject.loop.advance(5s);
    CHECK(outcome.empty());
    subject.loop.advance(1min);
    CHECK(outcome == "http_503");
  }
}

TEST_CASE("client session: a grant that is not the one asked for is not used", "[bin][client]") {
  const SystemTime now = SystemTime(1'800'000'000s);
  CHECK(parse_grant(grant_body(good_claims(now)), DomainId("d1"), now).ok());
  const auto code = [&](const Json& claims) {
    const Result<GrantAnswer> out = parse_grant(grant_body(claims), DomainId("d1"), now);
    return out.ok() ? std::string("ok") : out.error().code;
  };
  Json claims = good_claims(now);
  SECTION("issuer") { claims["iss"] = "someone"; }
  SECTION("domain") { claims["domain_id"] = "d2"; }
  SECTION("no domain server among the audiences") { claims["aud"] = {"dds"}; }
  SECTION("no DDS among the audiences") { claims["aud"] = "http://127.0.0.1:8480"; }
  SECTION("no audience") { claims.erase("aud"); }
  SECTION("expired") { claims["exp"] = 1'799'999'999; }
  SECTION("no expiry") { claims.erase("exp"); }
  CHECK(code(claims) == "grant_wrong");
}

TEST_CASE("client session: an answer that is no grant is corrupt", "[bin][client]") {
  const SystemTime now = SystemTime(1'800'000'000s);
  const std::string body = GENERATE("",
                                    "[]",
                                    "{}",
                                    R"({"access_token":"a.b.c"})",
                                    R"({"access_token":"a.b.c","domain_server":{}})");
  const Result<GrantAnswer> out = parse_grant(body, DomainId("d1"), now);
  REQUIRE_FALSE(out);
  CHECK(out.error().kind == ErrorKind::corrupt);
}

TEST_CASE("client session: cancelling ends a wait", "[bin][client]") {
  Subject subject;
  subject.outages = 1000;
  const http::Url url = http::Url::parse("http://127.0.0.1:8480/v1/jobs").value();
  auto op = [&]() -> Awaitable<void> {
    http::Request request(url);
    const Result<http::Response> answer = co_await subject.session.send(std::move(request));
    CHECK_FALSE(answer);
  };
  Started started(subject.loop, op());
  subject.loop.advance(1s);
  started.cancel();
  subject.loop.poll();
  CHECK(started.done());
  CHECK(started.failed());
}
