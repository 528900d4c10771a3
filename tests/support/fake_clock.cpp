#include "tests/support/fake_clock.hpp"

#include "base/awaitable.hpp"
#include "base/time.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <list>
#include <memory>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

namespace pn::testing {

struct FakeClock::Impl {
  struct Sleeper {
    SteadyTime due;
    asio::steady_timer* timer;
    bool woken = false;
  };

  SystemTime system = *parse_rfc3339("2026-11-20T10:00:00Z");
  SteadyTime steady{std::chrono::hours(1000)};
  std::list<Sleeper> sleepers;
};

FakeClock::FakeClock() : impl_(std::make_unique<Impl>()) {}
FakeClock::~FakeClock() = default;

SystemTime FakeClock::system_now() const { return impl_->system; }
SteadyTime FakeClock::steady_now() const { return impl_->steady; }

Awaitable<void> FakeClock::sleep_until(SteadyTime when) {
  if (when <= impl_->steady) co_return;
  asio::steady_timer timer(co_await asio::this_coro::executor, SteadyTime::max());
  struct Entry {
    std::list<Impl::Sleeper>& list;
    std::list<Impl::Sleeper>::iterator at;
    ~Entry() { list.erase(at); }
  };
  const Entry entry{impl_->sleepers, impl_->sleepers.insert(impl_->sleepers.end(), {when, &timer})};
  const auto [ended] = co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
  if (!entry.at->woken) throw boost::system::system_error(ended);
}

void FakeClock::advance(std::chrono::nanoseconds by) {
  impl_->steady += std::chrono::duration_cast<SteadyTime::duration>(by);
  impl_->system += std::chrono::duration_cast<SystemTime::duration>(by);
  for (auto& sleeper : impl_->sleepers) {
    if (sleeper.due > impl_->steady || sleeper.woken) continue;
    sleeper.woken = true;
    sleeper.timer->cancel();
  }
}

void FakeClock::step_system(std::chrono::nanoseconds by) {
  impl_->system += std::chrono::duration_cast<SystemTime::duration>(by);
}

SteadyTime FakeClock::next_due() const {
  SteadyTime soonest = SteadyTime::max();
  for (const auto& sleeper : impl_->sleepers) {
    if (!sleeper.woken) soonest = std::min(soonest, sleeper.due);
  }
  return soonest;
}

std::size_t FakeClock::sleepers() const { return impl_->sleepers.size(); }

}  // namespace pn::testing
