#pragma once

#include "auth/node_session.hpp"
#include "tests/auth/known_answers.hpp"
#include "tests/support/fake_http.hpp"
#include "tests/support/fake_rng.hpp"
#include "tests/support/test_loop.hpp"

#include <algorithm>
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <catch2/catch.hpp>

namespace pn::testing {

inline constexpr std::string_view kChallengeBody =
    R"({"nonce":"abc123","domain":"example.com","uri":"https://example.com","version":"1",)"
    R"("chainId":1,"issuedAt":"2024-05-01T00:00:00Z"})";

inline http::Url url_of(std::string_view text) {
  Result<http::Url> url = http::Url::parse(text);
  REQUIRE(url);
  return *url;
}

inline auth::Wallet known_wallet() {
  Result<auth::Wallet> wallet = auth::Wallet::from_hex(Secret<std::string>(std::string(kKnownKey)));
  REQUIRE(wallet);
  return std::move(*wallet);
}

inline auth::NodeIdentity known_identity() {
  return {.wallet = known_wallet(),
          .registration = {.secret = Secret<std::string>("reg-secret"),
                           .capabilities = {Capability("/noop/v1")},
                           .version = "1.2.3"}};
}

/// DDS as a node sees it: each call is answered by a knob, after `latency` of virtual time.
class FakeDds final : public http::HttpClient {
 public:
  explicit FakeDds(FakeClock& clock) : clock_(clock) {}

  Awaitable<Result<http::Response>> send(http::Request request) override {
    const std::string path = request.url.path();
    last_body = request.body;
    if (latency.count() > 0) co_await clock_.sleep_for(latency);
    if (path.ends_with("/siwe/request")) {
      ++challenges;
      co_return challenge();
    }
    if (path.ends_with("/nodes/register-wallet")) {
      ++registrations;
      registered_at.push_back(clock_.steady_now());
      co_return registration();
    }
    if (path.ends_with("/siwe/verify")) {
      ++logins;
      co_return verification();
    }
    co_return json_answer(404, "{}");
  }

  /// A token that lasts `ttl` by the server's clock.
  http::Response token_answer() {
    const SystemTime theirs = clock_.system_now() + skew;
    http::Response answer =
        json_answer(200,
                    R"({"access_token":"token-)" + std::to_string(logins) +
                        R"(","access_expires_at":")" + format_rfc3339(theirs + ttl) + R"("})");
    if (send_date) answer.headers.set("date", http_date(theirs));
    return answer;
  }

  static std::string http_date(SystemTime time) {
    const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
    std::tm parts{};
    gmtime_r(&seconds, &parts);
    char out[64];
    const std::size_t size = std::strftime(out, sizeof out, "%a, %d %b %Y %H:%M:%S GMT", &parts);
    return {out, size};
  }

  std::function<Result<http::Response>()> challenge = [] {
    return json_answer(200, std::string(kChallengeBody));
  };
  std::function<Result<http::Response>()> registration = [] { return json_answer(200, "{}"); };
  std::function<Result<http::Response>()> verification = [this] { return token_answer(); };
  Millis latency{0};
  Millis ttl{std::chrono::hours(1)};
  Millis skew{0};
  bool send_date = true;

  int challenges = 0;
  int registrations = 0;
  int logins = 0;
  std::vector<SteadyTime> registered_at;
  std::string last_body;

 private:
  FakeClock& clock_;
};

}  // namespace pn::testing
