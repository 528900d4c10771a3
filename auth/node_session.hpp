#pragma once

#include "auth/access_tokens.hpp"
#include "auth/dds_client.hpp"
#include "auth/registration_core.hpp"
#include "auth/registration_loop.hpp"
#include "auth/token_core.hpp"
#include "auth/wallet.hpp"
#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/event.hpp"
#include "base/log.hpp"
#include "base/nursery.hpp"
#include "base/retry.hpp"
#include "base/rng.hpp"
#include "http/client.hpp"
#include "http/url.hpp"

#include <cstdint>
#include <list>
#include <optional>
#include <string_view>

namespace pn::auth {

/// Who a node is: its key and what it registers as.
struct NodeIdentity {
  Wallet wallet;
  Registration registration;
};

/// The settings of sign-in, with the public node's defaults.
struct SessionSettings {
  Millis request_timeout{60'000};   ///< REQUEST_TIMEOUT_SECS
  TokenPolicy token;                ///< TOKEN_*
  RegistrationPolicy registration;  ///< REGISTER_*
};

enum class SessionState { registering, registered, signed_in };
/// "registering", "registered", "signed_in": as status shows it.
std::string_view name(SessionState state);

struct SessionStatus {
  SessionState state = SessionState::registering;
  std::optional<Error> last_error;         ///< of the last attempt; nothing once it succeeded
  std::optional<Millis> token_remaining;   ///< nothing without a token
  std::optional<Millis> token_renewal_in;  ///< zero: due
  Millis clock_skew{0};                    ///< DDS's clock minus ours, as last seen
};

/// A node's standing with DDS: registered, and with an access token that is good now.
///
/// Two loops under run(): one registers (RegistrationLoop), one signs in. Signing in happens in the
/// background at the renewal point, or at once when a caller waits and there is no good token; it
/// is always that one loop that does it, so callers share one login and none of them, cancelled,
/// takes it down with it. Without a registration token() waits: bound it by a deadline. Thread: one
/// loop's.
class NodeSession final : public AccessTokenSource {
 public:
  /// References outlive the session.
  NodeSession(Executor executor,
              Clock& clock,
              Rng& rng,
              http::HttpClient& http,
              http::Url dds_base,
              NodeIdentity identity,
              SessionSettings settings,
              log::Logger logger);
  ~NodeSession() override;
  NodeSession(const NodeSession&) = delete;
  NodeSession& operator=(const NodeSession&) = delete;

  /// Registers and signs in until cancelled. Await it once, in the owner's nursery.
  Awaitable<void> run();

  /// The first call waits for the registration and the first login. Errors: what the login failed
  /// with, after all its tries.
  Awaitable<Result<AccessToken>> token() override;
  void reject(const AccessToken& used) override;

  [[nodiscard]] const EthAddress& address() const { return identity_.wallet.address(); }
  [[nodiscard]] SessionStatus status() const;

 private:
  class Waiter;

  Awaitable<void> sign_in_loop();
  Awaitable<void> sign_in_round();
  /// One login: 1 + max_retries tries.
  Awaitable<Result<IssuedToken>> login();
  [[nodiscard]] bool token_good() const;
  [[nodiscard]] SteadyTime next_round_at() const;
  void accept(IssuedToken issued);
  void round_failed(const Error& error);
  void wake_waiters();

  Executor executor_;
  Clock& clock_;
  Rng& rng_;
  const NodeIdentity identity_;
  const SessionSettings settings_;
  const log::Logger logger_;
  DdsClient dds_;
  RegistrationLoop registration_;

  // Loop thread only.
  std::optional<AccessToken> token_;
  TokenTimes times_{};
  Millis clock_skew_{0};
  std::optional<Error> login_error_;
  std::uint64_t failed_rounds_ = 0;
  bool demanded_ = false;                   // a caller waits for a token
  std::optional<SteadyTime> retry_at_;      // after a failed round, for the background
  std::optional<SteadyTime> barred_until_;  // the server's Retry-After: binds callers too
  Backoff backoff_;
  std::list<Event*> waiters_;
  Event wake_;
  Nursery loops_;
};

}  // namespace pn::auth
