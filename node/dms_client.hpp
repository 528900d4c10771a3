#pragma once

#include "auth/access_tokens.hpp"
#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/result.hpp"
#include "base/rng.hpp"
#include "http/client.hpp"
#include "node/claim_choice.hpp"
#include "node/lease.hpp"
#include "node/receipt.hpp"
#include "node/server_time.hpp"

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace pn::node {

struct DmsOptions {
  http::Url base;
  Millis request_timeout{60'000};

  explicit DmsOptions(http::Url url) : base(std::move(url)) {}
};

/// What GET /tasks brought.
struct Claim {
  std::optional<Lease> lease;
  /// A lease that cannot be worked on, and why: to be failed with stage start_session.
  std::optional<BrokenLease> broken;
  std::optional<Error> fault;
  /// The server held the request while there was no work: the next may go out at once.
  bool waited = false;
  std::optional<Millis> retry_after;
};

/// The node's calls of DMS (wire.md). Each takes the newest access token, and on 401 renews
/// it once and tries once more. Thread: the control loop's.
class DmsClient final {
 public:
  DmsClient(http::HttpClient& http,
            auth::AccessTokenSource& tokens,
            Clock& clock,
            Rng& rng,
            DmsOptions options);

  /// 204 and 409 are no work, not an Error.
  Awaitable<Result<Claim>> claim(ClaimAsk ask);
  /// Whatever there is, now.
  Awaitable<Result<Claim>> claim();

  /// Kind `restart`, code "lease_lost", when it is definitely not ours any more: 403, 404, 409,
  /// 410, or 401 twice. Every other Error proves nothing about the lease.
  Awaitable<Result<LeaseUpdate>> heartbeat(TaskId task, std::string body, std::string trace_id);

  /// One try. Kind `rejected`, code "receipt_refused", for any 4xx but 401, 408, 425 and 429; all
  /// else is kind `retry`.
  Awaitable<Result<void>> send(Receipt receipt);

  /// Whether there is a DMS at all: a request that asks for nothing and needs no token. Kind
  /// `retry` when nobody answers, or one who is not well (5xx, 429).
  Awaitable<Result<void>> probe();

  /// Called with every answer to a claim or a heartbeat that says that the server works.
  void on_answer(std::function<void()> listener) { heard_ = std::move(listener); }

  /// The server's wall clock, as far as its answers tell.
  [[nodiscard]] const ServerTime& server_time() const { return server_time_; }

 private:
  struct Call {
    http::Method method = http::Method::get;
    http::Url url;
    std::string body{};
    std::string trace_id{};
    std::chrono::seconds hold{0};  ///< asked for with `Prefer: wait`

    explicit Call(http::Url u) : url(std::move(u)) {}
  };
  struct Answer {
    http::Response response;
    SteadyTime sent{};
    SystemTime sent_wall{};          ///< when it was sent, by the wall clock as of the answer
    std::optional<SystemTime> date;  ///< the server's wall clock when it answered, less under 1 s
  };

  Awaitable<Result<Answer>> exchange(Call call);
  http::Request request(const Call& call, const auth::AccessToken& token);
  [[nodiscard]] std::optional<Millis> remaining(const Answer& answer,
                                                std::optional<SystemTime> expires_at) const;

  http::HttpClient& http_;
  auth::AccessTokenSource& tokens_;
  Clock& clock_;
  Rng& rng_;
  const DmsOptions options_;
  const http::Url tasks_url_;
  ServerTime server_time_;
  std::function<void()> heard_;
};

}  // namespace pn::node
