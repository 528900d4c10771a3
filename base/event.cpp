#include "base/event.hpp"

#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/deadline.hpp"
#include "base/time.hpp"

#include <memory>
#include <utility>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

namespace pn {

struct Event::Impl {
  explicit Impl(const Executor& executor) : timer(executor, SteadyTime::max()) {}
  asio::steady_timer timer;
  bool is_set = false;
};

Event::Event(Executor executor) : impl_(std::make_unique<Impl>(executor)) {}
Event::~Event() = default;

void Event::set() {
  impl_->is_set = true;
  impl_->timer.cancel();
}

Awaitable<void> Event::wait() {
  while (!impl_->is_set) {
    const auto [ended] = co_await impl_->timer.async_wait(asio::as_tuple(asio::use_awaitable));
    // set() cancels the timer too: only without it was the caller itself cancelled.
    if (!impl_->is_set) throw boost::system::system_error(ended);
  }
  impl_->is_set = false;
}

Awaitable<bool> Event::wait_until(Clock& clock, Deadline deadline) {
  Awaitable<void> waiting = wait();
  co_return co_await detail::race(clock, deadline, std::move(waiting));
}

}  // namespace pn
