#include "base/deadline.hpp"

#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/result.hpp"
#include "base/time.hpp"

#include <algorithm>
#include <exception>
#include <optional>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace pn {

std::optional<Millis> Deadline::remaining(const Clock& clock) const {
  if (!reachable()) return std::nullopt;
  const auto left = std::chrono::ceil<Millis>(at_ - clock.steady_now());
  return std::max(left, Millis{0});
}

Error deadline_error() { return {ErrorKind::retry, "deadline", "the time allowed for it ran out"}; }

namespace detail {

Awaitable<bool> race(Clock& clock, Deadline deadline, Awaitable<void> op) {
  if (!deadline.reachable()) {
    co_await std::move(op);
    co_return true;
  }
  const Executor executor = co_await asio::this_coro::executor;
  auto group = asio::experimental::make_parallel_group(
      asio::co_spawn(executor, std::move(op), asio::deferred),
      asio::co_spawn(executor, clock.sleep_until(deadline.at()), asio::deferred));
  const auto [order, op_failed, timer_failed] =
      co_await group.async_wait(asio::experimental::wait_for_one(), asio::use_awaitable);
  const bool op_first = order[0] == 0;
  if (op_first && op_failed) std::rethrow_exception(op_failed);
  // The timer only throws when our caller was cancelled (the loser's own cancellation comes after
  // order[0]).
  if (!op_first && timer_failed) std::rethrow_exception(timer_failed);
  co_return op_first;
}

}  // namespace detail
}  // namespace pn
