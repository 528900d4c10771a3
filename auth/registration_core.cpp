#include "auth/registration_core.hpp"

#include "base/result.hpp"
#include "base/retry.hpp"
#include "base/rng.hpp"
#include "base/time.hpp"

#include <algorithm>
#include <chrono>
#include <optional>

namespace pn::auth {
namespace {

constexpr std::chrono::seconds kWarnEvery{180};

}  // namespace

RegisterAnswer register_answer(const Result<void>& result) {
  if (result.ok()) return RegisterAnswer::registered;
  const Error& error = result.error();
  if (error.code == "http_409") return RegisterAnswer::held_elsewhere;
  switch (error.kind) {
    case ErrorKind::rejected:
    case ErrorKind::unauthorized:
    case ErrorKind::not_found:
      return RegisterAnswer::refused;
    case ErrorKind::retry:
    case ErrorKind::restart:
    case ErrorKind::corrupt:
    case ErrorKind::full:
    case ErrorKind::internal:
      break;
  }
  return RegisterAnswer::transient;
}

RegistrationCore::RegistrationCore(RegistrationPolicy policy)
    : policy_(policy), backoff_(kTransient) {}

bool RegistrationCore::warn_now(SteadyTime now) {
  if (warned_at_ && now - *warned_at_ < kWarnEvery) return false;
  warned_at_ = now;
  return true;
}

RegistrationCore::Next RegistrationCore::answered(RegisterAnswer answer,
                                                  std::optional<Millis> after,
                                                  SteadyTime now,
                                                  Rng& rng) {
  Next next;
  switch (answer) {
    case RegisterAnswer::registered:
      registered_ = true;
      backoff_.reset();
      warned_at_.reset();
      break;
    case RegisterAnswer::held_elsewhere:
    case RegisterAnswer::refused:
      backoff_.reset();
      next.wait = policy_.interval;
      next.warn = warn_now(now);
      break;
    case RegisterAnswer::transient:
      next.wait = backoff_.next(rng, after);
      next.warn = true;
      if (policy_.max_retry >= 0 && backoff_.failures() >= policy_.max_retry) {
        backoff_.reset();
        next.wait = std::max<Millis>(policy_.interval, after.value_or(Millis(0)));
      }
      break;
  }
  return next;
}

void RegistrationCore::rearm() {
  registered_ = false;
  backoff_.reset();
}

}  // namespace pn::auth
