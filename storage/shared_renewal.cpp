#include "storage/shared_renewal.hpp"

#include "base/awaitable.hpp"
#include "base/event.hpp"
#include "base/secret.hpp"

#include <list>
#include <string>

#include <boost/asio/this_coro.hpp>

namespace pn::storage {

/// Who renews; at its end everybody looks again.
class SharedRenewal::Turn {
 public:
  explicit Turn(SharedRenewal& owner) : owner_(owner) {
    owner_.renewing_ = true;
    owner_.outcome_.reset();
  }
  ~Turn() {
    owner_.renewing_ = false;
    for (Event* const waiter : owner_.waiting_) waiter->set();
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  SharedRenewal& owner_;
};

namespace {

class Listed {
 public:
  Listed(std::list<Event*>& list, Event& event)
      : list_(list), at_(list.insert(list.end(), &event)) {}
  ~Listed() { list_.erase(at_); }
  Listed(const Listed&) = delete;
  Listed& operator=(const Listed&) = delete;

 private:
  std::list<Event*>& list_;
  const std::list<Event*>::iterator at_;
};

}  // namespace

Awaitable<bool> SharedRenewal::wait_newer(const Secret<std::string>& used) {
  if (renewing_) {
    const Executor executor = co_await asio::this_coro::executor;
    Event ended(executor);
    const Listed listed(waiting_, ended);
    while (renewing_) co_await ended.wait();
    if (outcome_ && !*outcome_) co_return false;  // it would be asked in vain once more
  }
  if (tokens_->current().reveal() != used.reveal()) co_return true;
  const Turn turn(*this);
  const bool newer = co_await tokens_->wait_newer(used);
  outcome_ = newer;
  co_return newer;
}

}  // namespace pn::storage
