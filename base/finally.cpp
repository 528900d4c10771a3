#include "base/finally.hpp"

#include "base/awaitable.hpp"
#include "base/nursery.hpp"

#include <exception>
#include <functional>
#include <utility>

#include <boost/asio/this_coro.hpp>

namespace pn::detail {

Awaitable<void> finally(Awaitable<void> op, std::function<Awaitable<void>()> cleanup) {
  std::exception_ptr thrown;
  try {
    co_await std::move(op);
  } catch (...) {
    thrown = std::current_exception();
  }
  // Who is cancelled would not get as far as the clean-up. The setting belongs to the caller's
  // whole chain of coroutines, not to this frame: it is put back.
  const bool throws = co_await asio::this_coro::throw_if_cancelled();
  co_await asio::this_coro::throw_if_cancelled(false);
  Awaitable<void> cleaning = cleanup();
  co_await shielded(std::move(cleaning));
  co_await asio::this_coro::throw_if_cancelled(throws);
  if (thrown) std::rethrow_exception(thrown);
}

}  // namespace pn::detail
