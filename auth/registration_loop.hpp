#pragma once

#include "auth/dds_client.hpp"
#include "auth/registration_core.hpp"
#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/event.hpp"
#include "base/log.hpp"
#include "base/rng.hpp"

#include <functional>
#include <optional>

namespace pn::auth {

/// Keeps the node registered: the shell around RegistrationCore. One loop's.
class RegistrationLoop final {
 public:
  /// References outlive the loop. `changed` is called whenever status may have changed; it must not
  /// wait.
  RegistrationLoop(Executor executor,
                   Clock& clock,
                   Rng& rng,
                   DdsClient& dds,
                   Registration registration,
                   RegistrationPolicy policy,
                   log::Logger logger,
                   std::function<void()> changed);
  RegistrationLoop(const RegistrationLoop&) = delete;
  RegistrationLoop& operator=(const RegistrationLoop&) = delete;

  /// Until cancelled.
  Awaitable<void> run();

  /// The server has forgotten us (403 or 404 at sign-in): register again, now.
  void rearm();

  [[nodiscard]] bool registered() const { return core_.registered(); }
  /// Why the last attempt failed; nothing once registered.
  [[nodiscard]] const std::optional<Error>& last_error() const { return last_error_; }

 private:
  void report(RegisterAnswer answer, const Result<void>& result, RegistrationCore::Next next) const;

  Clock& clock_;
  Rng& rng_;
  DdsClient& dds_;
  const Registration registration_;
  const log::Logger logger_;
  const std::function<void()> changed_;

  RegistrationCore core_;
  std::optional<Error> last_error_;
  Event armed_;
};

}  // namespace pn::auth
