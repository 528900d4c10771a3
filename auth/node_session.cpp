#include "auth/node_session.hpp"

#include "auth/access_tokens.hpp"
#include "auth/dds_client.hpp"
#include "auth/token_core.hpp"
#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/deadline.hpp"
#include "base/log.hpp"
#include "base/result.hpp"
#include "base/retry.hpp"
#include "base/rng.hpp"
#include "base/time.hpp"
#include "http/client.hpp"
#include "http/url.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <list>
#include <string_view>
#include <utility>

namespace pn::auth {
namespace {

constexpr Millis kNotableSkew{30'000};

}  // namespace

std::string_view name(SessionState state) {
  switch (state) {
    case SessionState::registering:
      return "registering";
    case SessionState::registered:
      return "registered";
    case SessionState::signed_in:
      return "signed_in";
  }
  return "registering";
}

/// A caller of token() that waits for the end of a round. Several wait at once, and an Event wakes
/// one: so each has its own.
class NodeSession::Waiter {
 public:
  explicit Waiter(NodeSession& session)
      : session_(session),
        woken_(session.executor_),
        place_(session.waiters_.insert(session.waiters_.end(), &woken_)) {}
  ~Waiter() { session_.waiters_.erase(place_); }
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;

  Awaitable<void> wait() { return woken_.wait(); }

 private:
  NodeSession& session_;
  Event woken_;
  std::list<Event*>::iterator place_;
};

NodeSession::NodeSession(Executor executor,
                         Clock& clock,
                         Rng& rng,
                         http::HttpClient& http,
                         http::Url dds_base,
                         NodeIdentity identity,
                         SessionSettings settings,
                         log::Logger logger)
    : executor_(executor),
      clock_(clock),
      rng_(rng),
      identity_(std::move(identity)),
      settings_(settings),
      logger_(std::move(logger)),
      dds_(http, clock, std::move(dds_base), identity_.wallet, settings.request_timeout),
      registration_(executor,
                    clock,
                    rng,
                    dds_,
                    identity_.registration,
                    settings.registration,
                    logger_,
                    [this] { wake_.set(); }),
      backoff_(kTransient),
      wake_(executor),
      loops_(executor) {}

NodeSession::~NodeSession() = default;

Awaitable<void> NodeSession::run() {
  loops_.spawn("registration", registration_.run());
  loops_.spawn("sign-in", sign_in_loop());
  co_await loops_.join();
}

bool NodeSession::token_good() const { return token_ && clock_.steady_now() < times_.expires_at; }

Awaitable<Result<AccessToken>> NodeSession::token() {
  if (token_good()) co_return *token_;
  if (barred_until_ && clock_.steady_now() < *barred_until_ && login_error_) {
    co_return *login_error_;
  }
  Waiter waiter(*this);
  const std::uint64_t failed_before = failed_rounds_;
  demanded_ = true;
  wake_.set();
  for (;;) {
    co_await waiter.wait();
    if (token_good()) co_return *token_;
    if (failed_rounds_ != failed_before && login_error_) co_return *login_error_;
  }
}

void NodeSession::reject(const AccessToken& used) {
  if (!token_ || token_->reveal() != used.reveal()) return;
  logger_.info("token.rejected");
  token_.reset();
  wake_.set();
}

SessionStatus NodeSession::status() const {
  SessionStatus out;
  const SteadyTime now = clock_.steady_now();
  const bool good = token_good();
  const auto left = [now](SteadyTime when) {
    return std::max(Millis(0), std::chrono::duration_cast<Millis>(when - now));
  };
  if (good) {
    out.state = SessionState::signed_in;
    out.token_remaining = left(times_.expires_at);
    out.token_renewal_in = left(times_.renew_at);
  } else if (registration_.registered()) {
    out.state = SessionState::registered;
  }
  out.last_error = registration_.last_error() ? registration_.last_error() : login_error_;
  out.clock_skew = clock_skew_;
  return out;
}

SteadyTime NodeSession::next_round_at() const {
  if (!registration_.registered()) return SteadyTime::max();
  SteadyTime at = clock_.steady_now();
  if (token_good()) {
    at = std::max(times_.renew_at, retry_at_.value_or(times_.renew_at));
    at = std::min(at, times_.expires_at);
  } else if (!demanded_) {
    at = retry_at_.value_or(at);
  }
  return std::max(at, barred_until_.value_or(at));
}

Awaitable<void> NodeSession::sign_in_loop() {
  for (;;) {
    const SteadyTime due = next_round_at();
    if (clock_.steady_now() < due) {
      co_await wake_.wait_until(clock_, Deadline(due));
    } else {
      co_await sign_in_round();
    }
  }
}

Awaitable<void> NodeSession::sign_in_round() {
  Result<IssuedToken> issued = co_await login();
  // Whoever asks from here on asks for another round.
  demanded_ = false;
  if (issued) {
    accept(std::move(*issued));
  } else {
    round_failed(issued.error());
  }
  wake_waiters();
}

Awaitable<Result<IssuedToken>> NodeSession::login() {
  for (int attempt = 0;; ++attempt) {
    Result<IssuedToken> issued = co_await dds_.sign_in();
    if (issued.ok()) co_return issued;
    const Error& error = issued.error();
    // Neither a registration that is gone nor a server that names its time is asked again now.
    const bool hopeless = error.code == "registration_gone" || error.after.has_value();
    if (hopeless || attempt >= settings_.token.max_retries) co_return issued;
    logger_.debug("login.failed", {log::field(error), {"attempt", attempt + 1}});
    const Millis pause = uniform(rng_, Millis(0), settings_.token.jitter);
    co_await clock_.sleep_for(pause);
  }
}

void NodeSession::accept(IssuedToken issued) {
  logger_.hide(issued.token);
  token_ = std::move(issued.token);
  times_ = token_times(issued.asked_at, issued.ttl, settings_.token, rng_);
  login_error_.reset();
  retry_at_.reset();
  barred_until_.reset();
  backoff_.reset();
  const bool was_notable = std::chrono::abs(clock_skew_) >= kNotableSkew;
  clock_skew_ = issued.clock_skew;
  if (!was_notable && std::chrono::abs(clock_skew_) >= kNotableSkew) {
    logger_.warn("clock.skewed", {{"skew_ms", clock_skew_.count()}});
  }
  const auto renew_in = std::chrono::duration_cast<Millis>(times_.renew_at - clock_.steady_now());
  logger_.info("token.issued", {{"ttl_ms", issued.ttl.count()}, {"renew_in_ms", renew_in.count()}});
}

void NodeSession::round_failed(const Error& error) {
  const SteadyTime now = clock_.steady_now();
  ++failed_rounds_;
  login_error_ = error;
  const Millis pause = backoff_.next(rng_, error.after).value_or(Millis(0));
  retry_at_ = now + pause;
  barred_until_.reset();
  if (error.after) barred_until_ = now + *error.after;
  logger_.warn("login.refused", {log::field(error), {"wait_ms", pause.count()}});
  if (error.code == "registration_gone") {
    // Signing in follows the new registration at once; but a server that takes registrations and
    // then knows nothing of them is not asked in circles.
    if (backoff_.failures() > 1) {
      barred_until_ = now + pause;
    } else {
      retry_at_.reset();
    }
    registration_.rearm();
  }
}

void NodeSession::wake_waiters() {
  for (Event* waiter : waiters_) waiter->set();
}

}  // namespace pn::auth
