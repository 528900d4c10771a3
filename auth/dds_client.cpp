#include "auth/dds_client.hpp"

#include "auth/dds_json.hpp"
#include "auth/siwe.hpp"
#include "auth/wallet.hpp"
#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "http/client.hpp"
#include "http/types.hpp"
#include "http/url.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <utility>

namespace pn::auth {

namespace {

/// The server's time as far as its answer tells: `Date` has whole seconds. Within one of ours, ours
/// is as good; else the latest it can be, so that no token is thought to live longer than it does.
SystemTime server_now(const http::Headers& headers, SystemTime ours) {
  constexpr std::chrono::seconds kResolution{1};
  const std::optional<SystemTime> date = http::server_date(headers);
  if (!date || (*date <= ours && ours < *date + kResolution)) return ours;
  return *date + kResolution;
}

}  // namespace

DdsClient::DdsClient(
    http::HttpClient& http, Clock& clock, http::Url base, const Wallet& wallet, Millis timeout)
    : http_(http), clock_(clock), base_(std::move(base)), wallet_(wallet), timeout_(timeout) {}

Awaitable<Result<http::Response>> DdsClient::post(http::Url url, std::string body) {
  http::Request request(http::Method::post, std::move(url));
  request.headers.set("content-type", "application/json");
  request.headers.set("accept", "application/json");
  request.body = std::move(body);
  request.timeout = timeout_;
  Result<http::Response> answer = co_await http_.send(std::move(request));
  if (!answer) co_return within("DDS", std::move(answer).error());
  if (answer->status < 200 || answer->status > 299) {
    co_return within("DDS", http::from_http_status(*answer));
  }
  co_return answer;
}

Awaitable<Result<SignedMessage>> DdsClient::signed_challenge() {
  http::Url url = base_.append({"internal", "v1", "auth", "siwe", "request"});
  std::string body = challenge_request_json(wallet_.address());
  Result<http::Response> answer = co_await post(std::move(url), std::move(body));
  if (!answer) co_return std::move(answer).error();
  const Result<SiweChallenge> challenge = parse_challenge(answer->body);
  if (!challenge) co_return challenge.error();
  SignedMessage out;
  out.message = siwe_message(*challenge, wallet_.address());
  out.signature = wallet_.sign_personal(out.message);
  co_return out;
}

Awaitable<Result<IssuedToken>> DdsClient::sign_in() {
  Result<SignedMessage> signed_message = co_await signed_challenge();
  if (!signed_message) co_return std::move(signed_message).error();

  http::Url url = base_.append({"internal", "v1", "auth", "siwe", "verify"});
  std::string body = verify_request_json(wallet_.address(), *signed_message);
  const SteadyTime asked_at = clock_.steady_now();
  Result<http::Response> answer = co_await post(std::move(url), std::move(body));
  if (!answer) {
    Error error = std::move(answer).error();
    if (error.code == "http_403" || error.code == "http_404") {
      co_return Error(ErrorKind::restart,
                      "registration_gone",
                      "DDS no longer knows this node; registering again (" + error.detail + ")");
    }
    co_return error;
  }

  Result<TokenAnswer> granted = parse_token_answer(answer->body);
  if (!granted) co_return std::move(granted).error();
  // The expiry is by the server's clock; ours may be minutes off and must not matter.
  const SystemTime ours = clock_.system_now();
  const SystemTime theirs = server_now(answer->headers, ours);
  IssuedToken out;
  out.token = std::move(granted->token);
  out.asked_at = asked_at;
  out.ttl = std::chrono::duration_cast<Millis>(granted->expires_at - theirs);
  out.clock_skew = std::chrono::duration_cast<Millis>(theirs - ours);
  if (out.ttl <= Millis(0)) {
    co_return Error(ErrorKind::corrupt,
                    "token_expired",
                    "DDS issued a token that had expired at " +
                        format_rfc3339(granted->expires_at) + "; is a clock wrong?");
  }
  co_return out;
}

Awaitable<Result<void>> DdsClient::register_wallet(const Registration& registration) {
  Result<SignedMessage> signed_message = co_await signed_challenge();
  if (!signed_message) co_return std::move(signed_message).error();
  http::Url url = base_.append({"internal", "v1", "nodes", "register-wallet"});
  std::string body = register_request_json(*signed_message, registration);
  Result<http::Response> answer = co_await post(std::move(url), std::move(body));
  if (!answer) co_return std::move(answer).error();
  co_return Result<void>();
}

}  // namespace pn::auth
