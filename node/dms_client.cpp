#include "node/dms_client.hpp"

#include "auth/access_tokens.hpp"
#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "base/rng.hpp"
#include "base/time.hpp"
#include "http/client.hpp"
#include "http/types.hpp"
#include "node/claim_choice.hpp"
#include "node/lease.hpp"
#include "node/receipt.hpp"

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace pn::node {
namespace {

constexpr int kUnauthorized = 401;
constexpr std::chrono::seconds kPromptAnswer{1};
/// "Never ends" is written as the year 9999, which the clock's nanoseconds do not reach.
constexpr Millis kLongestLease = std::chrono::hours(365 * 24);

/// Of a lease, at `now` by the server's clock.
Millis left(SystemTime expires_at, SystemTime now) {
  return std::clamp(std::chrono::floor<Millis>(expires_at - now), -kLongestLease, kLongestLease);
}

bool is_success(int status) { return status >= 200 && status < 300; }

/// A heartbeat with one of these says that the lease is somebody else's, or nobody's.
bool is_definite_loss(int status) {
  return status == kUnauthorized || status == 403 || status == 404 || status == 409 ||
         status == 410;
}

/// A receipt with one of these may be taken later; every other 4xx is final.
bool is_open(int status) {
  return status < 400 || status >= 500 || status == kUnauthorized || status == 408 ||
         status == 425 || status == 429;
}

}  // namespace

DmsClient::DmsClient(http::HttpClient& http,
                     auth::AccessTokenSource& tokens,
                     Clock& clock,
                     Rng& rng,
                     DmsOptions options)
    : http_(http),
      tokens_(tokens),
      clock_(clock),
      rng_(rng),
      options_(std::move(options)),
      tasks_url_(options_.base.append({"tasks"})) {}

Awaitable<Result<Claim>> DmsClient::claim() {
  ClaimAsk any;
  return claim(std::move(any));
}

Awaitable<Result<Claim>> DmsClient::claim(ClaimAsk ask) {
  Call call(ask.capability ? tasks_url_.with_query("capability", ask.capability->str())
                           : tasks_url_);
  call.trace_id = random_hex(rng_, 16);
  call.hold = ask.hold;
  const std::string trace_id = call.trace_id;
  const Result<Answer> answer = co_await exchange(std::move(call));
  if (!answer) co_return answer.error();
  const http::Response& response = answer->response;

  if (heard_ && (is_success(response.status) || response.status == 409)) heard_();
  Claim out;
  if (response.status == 204 || response.status == 409) {
    const auto applied = response.headers.find("preference-applied");
    out.waited = applied && applied->find("wait") != std::string_view::npos;
    out.retry_after = http::retry_after(response.headers, clock_.system_now());
    co_return out;
  }
  if (response.status != 200) co_return http::from_http_status(response);

  Result<Lease> lease = decode_lease(response.body);
  if (!lease) {
    out.broken = decode_broken_lease(response.body);
    if (!out.broken) co_return std::move(lease).error();
    out.fault = std::move(lease).error();
    co_return out;
  }
  lease->trace_id = trace_id;
  lease->sent = answer->sent;
  lease->received = clock_.steady_now();
  lease->remaining = remaining(*answer, lease->expires_at);
  out.lease = *std::move(lease);
  co_return out;
}

Awaitable<Result<LeaseUpdate>> DmsClient::heartbeat(TaskId task,
                                                    std::string body,
                                                    std::string trace_id) {
  Call call(tasks_url_.append({task.str(), "heartbeat"}));
  call.method = http::Method::post;
  call.body = std::move(body);
  call.trace_id = std::move(trace_id);
  const Result<Answer> answer = co_await exchange(std::move(call));
  if (!answer) {
    // Whatever kept us from asking, sign-in above all, DMS has said nothing of the lease.
    Error error = answer.error();
    error.kind = ErrorKind::retry;
    co_return error;
  }
  const http::Response& response = answer->response;
  if (is_definite_loss(response.status)) {
    const Error why = http::from_http_status(response);
    co_return Error(ErrorKind::restart,
                    "lease_lost",
                    "the server answered " + std::to_string(response.status) + ": " + why.detail);
  }
  if (!is_success(response.status)) co_return http::from_http_status(response);
  if (heard_) heard_();
  Result<LeaseUpdate> update = decode_update(response.body);
  if (!update) co_return std::move(update).error();
  update->sent = answer->sent;
  update->remaining = remaining(*answer, update->expires_at);
  // Either clock may have been set since an answer last told the time, but the two times of this
  // one are by one clock: they name what was left when it was made, less than a second too much.
  // (Not so for a claim, which may be held for longer than that; a beat follows it at once.)
  if (update->remaining && answer->date) {
    update->remaining = std::min(*update->remaining, left(*update->expires_at, *answer->date));
  }
  co_return update;
}

Awaitable<Result<void>> DmsClient::send(Receipt receipt) {
  const std::string_view verb = receipt.outcome == Outcome::completed ? "complete" : "fail";
  Call call(tasks_url_.append({receipt.task.str(), verb}));
  call.method = http::Method::post;
  call.body = std::move(receipt.body);
  call.trace_id = std::move(receipt.trace_id);
  const Result<Answer> answer = co_await exchange(std::move(call));
  if (!answer) {
    Error error = answer.error();
    error.kind = ErrorKind::retry;
    co_return error;
  }
  const http::Response& response = answer->response;
  if (is_success(response.status)) co_return Result<void>();
  Error error = http::from_http_status(response);
  if (is_open(response.status)) {
    error.kind = ErrorKind::retry;
    co_return error;
  }
  co_return Error(ErrorKind::rejected,
                  "receipt_refused",
                  "the server answered " + std::to_string(response.status) + ": " + error.detail);
}

Awaitable<Result<void>> DmsClient::probe() {
  http::Request request(http::Method::get, options_.base);
  request.headers.set("accept", "application/json");
  request.timeout = options_.request_timeout;
  const Result<http::Response> response = co_await http_.send(std::move(request));
  if (!response) co_return response.error();
  if (response->status < 500 && response->status != 429) co_return Result<void>();
  Error error = http::from_http_status(*response);
  error.kind = ErrorKind::retry;
  co_return error;
}

Awaitable<Result<DmsClient::Answer>> DmsClient::exchange(Call call) {
  for (int attempt = 0;; ++attempt) {
    const Result<auth::AccessToken> token = co_await tokens_.token();
    if (!token) co_return token.error();
    http::Request outgoing = request(call, *token);
    Answer answer;
    answer.sent = clock_.steady_now();
    Result<http::Response> response = co_await http_.send(std::move(outgoing));
    if (!response) co_return std::move(response).error();
    answer.response = *std::move(response);
    answer.date = http::server_date(answer.response.headers);
    const SteadyTime::duration took = clock_.steady_now() - answer.sent;
    const SystemTime received = clock_.system_now();
    // Not as it was read then: the clock may have been set meanwhile, and what the answer tells of
    // the server's is told against the clock as it stands now.
    answer.sent_wall = received - std::chrono::duration_cast<SystemTime::duration>(took);
    // An answer that took long was made nobody knows when: by a slow server, or read by a process
    // that was stopped meanwhile and would take its lease to end later than it does. A held one is
    // known to be made at its end.
    const bool tells_time = call.hold.count() > 0 || took <= kPromptAnswer;
    if (answer.date && tells_time) {
      server_time_.observe(*answer.date, answer.sent_wall, received);
    }
    if (answer.response.status == kUnauthorized) {
      tokens_.reject(*token);
      if (attempt == 0) continue;
    }
    co_return answer;
  }
}

http::Request DmsClient::request(const Call& call, const auth::AccessToken& token) {
  http::Request out(call.method, call.url);
  out.headers.set("authorization", "Bearer " + token.reveal());
  out.headers.set("accept", "application/json");
  out.headers.set("traceparent", "00-" + call.trace_id + "-" + random_hex(rng_, 8) + "-01");
  if (call.hold.count() > 0) {
    out.headers.set("prefer", "wait=" + std::to_string(call.hold.count()));
  }
  if (call.method != http::Method::get) {
    out.headers.set("content-type", "application/json");
    out.body = call.body;
  }
  out.timeout = options_.request_timeout + call.hold;
  return out;
}

std::optional<Millis> DmsClient::remaining(const Answer& answer,
                                           std::optional<SystemTime> expires_at) const {
  if (!expires_at) return std::nullopt;
  return left(*expires_at, answer.sent_wall + server_time_.offset());
}

}  // namespace pn::node
