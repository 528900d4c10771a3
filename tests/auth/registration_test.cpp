#include "auth/dds_client.hpp"
#include "auth/registration_core.hpp"
#include "auth/registration_loop.hpp"
#include "auth/wallet.hpp"
#include "base/log.hpp"
#include "base/result.hpp"
#include "http/client.hpp"
#include "tests/auth/fake_dds.hpp"
#include "tests/support/fake_http.hpp"
#include "tests/support/fake_rng.hpp"

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

using namespace pn;           // NOLINT(google-build-using-namespace)
using namespace pn::auth;     // NOLINT(google-build-using-namespace)
using namespace pn::testing;  // NOLINT(google-build-using-namespace)
using namespace std::chrono_literals;

namespace {

Result<http::Response> status(int code) { return json_answer(code, "{}"); }

struct Subject {
  explicit Subject(RegistrationPolicy chosen = {}) : policy(chosen) {}

  void start() {
    started.emplace(loop, registration.run());
    loop.poll();
  }
  ~Subject() {
    if (!started) return;
    started->cancel();
    loop.poll();
  }
  /// The waits between the attempts so far.
  [[nodiscard]] std::vector<std::chrono::duration<double>> waits() const {
    std::vector<std::chrono::duration<double>> out;
    for (std::size_t i = 1; i < dds.registered_at.size(); ++i) {
      out.emplace_back(dds.registered_at[i] - dds.registered_at[i - 1]);
    }
    return out;
  }

  RegistrationPolicy policy;
  TestLoop loop;
  FakeDds dds{loop.clock};
  FakeRng rng;
  Wallet wallet = known_wallet();
  DdsClient client{dds, loop.clock, url_of("https://dds.example"), wallet, 60s};
  std::vector<std::string> lines;
  log::Logger logger{{.level = log::Level::warn},
                     [this](log::Level, std::string_view line) { lines.emplace_back(line); }};
  int changes = 0;
  RegistrationLoop registration{loop.executor(),
                                loop.clock,
                                rng,
                                client,
                                known_identity().registration,
                                policy,
                                logger,
                                [this] { ++changes; }};
  std::optional<Started> started;
};

}  // namespace

TEST_CASE("registration: what each answer means", "[auth][registration]") {
  struct Row {
    const char* name;
    Result<void> result;
    RegisterAnswer answer;
  };
  const std::vector<Row> table{
      {"2xx", {}, RegisterAnswer::registered},
      {"409", http::from_http_status(*status(409)), RegisterAnswer::held_elsewhere},
      {"408", http::from_http_status(*status(408)), RegisterAnswer::transient},
      {"429", http::from_http_status(*status(429)), RegisterAnswer::transient},
      {"500", http::from_http_status(*status(500)), RegisterAnswer::transient},
      {"503", http::from_http_status(*status(503)), RegisterAnswer::transient},
      {"507", http::from_http_status(*status(507)), RegisterAnswer::transient},
      {"400", http::from_http_status(*status(400)), RegisterAnswer::refused},
      {"401", http::from_http_status(*status(401)), RegisterAnswer::refused},
      {"403", http::from_http_status(*status(403)), RegisterAnswer::refused},
      {"404", http::from_http_status(*status(404)), RegisterAnswer::refused},
      {"422", http::from_http_status(*status(422)), RegisterAnswer::refused},
      {"no connection",
       Error(ErrorKind::retry, "curl_connect", "refused"),
       RegisterAnswer::transient},
      {"undecodable", Error(ErrorKind::corrupt, "json_field", "x"), RegisterAnswer::transient},
  };
  for (const Row& row : table) {
    INFO(row.name);
    CHECK(register_answer(row.result) == row.answer);
  }
}

TEST_CASE("registration: once registered nothing is sent until it is re-armed",
          "[auth][registration]") {
  Subject subject;
  subject.start();
  CHECK(subject.dds.registrations == 1);
  CHECK(subject.registration.registered());
  CHECK(subject.changes == 1);
  subject.loop.advance(24h);
  CHECK(subject.dds.registrations == 1);

  subject.registration.rearm();
  CHECK_FALSE(subject.registration.registered());
  subject.loop.poll();
  CHECK(subject.dds.registrations == 2);
  CHECK(subject.registration.registered());
}

TEST_CASE("registration: transient failures back off 2, 4, 8 to 60 s with jitter",
          "[auth][registration]") {
  Subject subject;
  subject.dds.registration = [] { return status(503); };
  subject.start();
  subject.loop.advance(10min);
  const auto waits = subject.waits();
  REQUIRE(waits.size() > 8);
  const std::vector<double> want{2, 4, 8, 16, 32, 60, 60, 60};
  for (std::size_t i = 0; i < want.size(); ++i) {
    INFO(i);
    CHECK(waits[i].count() >= 0.79 * want[i]);
    CHECK(waits[i].count() <= 1.21 * want[i]);
  }
  REQUIRE(subject.registration.last_error());
  CHECK(subject.registration.last_error()->code == "http_503");
}

TEST_CASE("registration: after max_retry in a row it waits the interval and starts over",
          "[auth][registration]") {
  Subject subject({.interval = 120s, .max_retry = 3});
  subject.dds.registration = [] { return status(500); };
  subject.start();
  subject.loop.advance(8min);
  const auto waits = subject.waits();
  REQUIRE(waits.size() >= 5);
  CHECK(waits[0] <= 2.5s);
  CHECK(waits[1] <= 5s);
  CHECK(waits[2] == 120s);
  CHECK(waits[3] <= 2.5s);
}

TEST_CASE("registration: Retry-After is honoured when it is longer", "[auth][registration]") {
  Subject subject;
  subject.dds.registration = [] {
    http::Response answer = json_answer(429, "{}");
    answer.headers.set("retry-after", "90");
    return Result<http::Response>(answer);
  };
  subject.start();
  subject.loop.advance(89s);
  CHECK(subject.dds.registrations == 1);
  subject.loop.advance(2s);
  CHECK(subject.dds.registrations == 2);
}

TEST_CASE("registration: 409 and refusals wait the interval, warn at most every 180 s",
          "[auth][registration]") {
  const int code = GENERATE(409, 401);
  Subject subject;
  subject.dds.registration = [code] { return status(code); };
  subject.start();
  CHECK(subject.lines.size() == 1);
  subject.loop.advance(119s);
  CHECK(subject.dds.registrations == 1);
  subject.loop.advance(1s);
  CHECK(subject.dds.registrations == 2);
  CHECK(subject.lines.size() == 1);
  subject.loop.advance(120s);  // 240 s after the first
  CHECK(subject.dds.registrations == 3);
  CHECK(subject.lines.size() == 2);

  subject.dds.registration = [] { return status(200); };
  subject.loop.advance(120s);
  CHECK(subject.registration.registered());
  CHECK_FALSE(subject.registration.last_error());
}

TEST_CASE("registration: an undecodable challenge is transient", "[auth][registration]") {
  Subject subject;
  subject.dds.challenge = [] { return json_answer(200, "{}"); };
  subject.start();
  CHECK(subject.dds.registrations == 0);
  subject.loop.advance(3s);
  CHECK(subject.dds.challenges == 2);
}

TEST_CASE("registration: the secret stands in no log line", "[auth][registration]") {
  Subject subject;
  subject.dds.registration = [] {
    return json_answer(400, R"({"error":{"code":"bad","message":"no such secret"}})");
  };
  subject.start();
  REQUIRE(subject.lines.size() == 1);
  CHECK(subject.lines[0].find("registration.refused") != std::string::npos);
  CHECK(subject.lines[0].find("reg-secret") == std::string::npos);
}

TEST_CASE("registration: cancelling ends the loop in a wait and in a request",
          "[auth][registration]") {
  Subject subject;
  SECTION("in a wait") {
    subject.dds.registration = [] { return status(503); };
  }
  SECTION("in a request") { subject.dds.latency = 5s; }
  subject.start();
  CHECK_FALSE(subject.started->done());
  subject.started->cancel();
  subject.loop.poll();
  CHECK(subject.started->done());
}
