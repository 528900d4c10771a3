#include "auth/registration_loop.hpp"

#include "auth/dds_client.hpp"
#include "auth/dds_json.hpp"
#include "auth/registration_core.hpp"
#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/log.hpp"
#include "base/result.hpp"
#include "base/rng.hpp"
#include "base/time.hpp"

#include <functional>
#include <optional>
#include <utility>

namespace pn::auth {

RegistrationLoop::RegistrationLoop(Executor executor,
                                   Clock& clock,
                                   Rng& rng,
                                   DdsClient& dds,
                                   Registration registration,
                                   RegistrationPolicy policy,
                                   log::Logger logger,
                                   std::function<void()> changed)
    : clock_(clock),
      rng_(rng),
      dds_(dds),
      registration_(std::move(registration)),
      logger_(std::move(logger)),
      changed_(std::move(changed)),
      core_(policy),
      armed_(std::move(executor)) {}

Awaitable<void> RegistrationLoop::run() {
  for (;;) {
    if (core_.registered()) {
      co_await armed_.wait();
      continue;
    }
    const Result<void> result = co_await dds_.register_wallet(registration_);
    const RegisterAnswer answer = register_answer(result);
    std::optional<Millis> after;
    last_error_.reset();
    if (!result.ok()) {
      last_error_ = result.error();
      after = result.error().after;
    }
    const RegistrationCore::Next next = core_.answered(answer, after, clock_.steady_now(), rng_);
    report(answer, result, next);
    changed_();
    if (next.wait) co_await clock_.sleep_for(*next.wait);
  }
}

void RegistrationLoop::rearm() {
  if (!core_.registered()) return;
  logger_.warn("registration.rearmed");
  core_.rearm();
  armed_.set();
  changed_();
}

void RegistrationLoop::report(RegisterAnswer answer,
                              const Result<void>& result,
                              RegistrationCore::Next next) const {
  if (answer == RegisterAnswer::registered) {
    logger_.info(
        "registration.succeeded",
        {{"capabilities", registration_.capabilities.size()}, {"version", registration_.version}});
    return;
  }
  const log::Field error = log::field(result.error());
  const log::Field wait("wait_ms", next.wait.value_or(Millis(0)).count());
  if (!next.warn) {
    logger_.debug("registration.failed", {error, wait});
  } else if (answer == RegisterAnswer::held_elsewhere) {
    logger_.warn("registration.held_elsewhere", {error, wait});
  } else if (answer == RegisterAnswer::refused) {
    logger_.error("registration.refused", {error, wait});
  } else {
    logger_.warn("registration.failed", {error, wait});
  }
}

}  // namespace pn::auth
