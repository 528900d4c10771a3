#include "market/claim_queue.hpp"

#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/deadline.hpp"
#include "market/job_store.hpp"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <list>
#include <string>
#include <utility>
#include <vector>

namespace pn::market {

void ClaimQueue::announce(const std::vector<Ready>& ready) {
  if (ready.empty()) return;
  ++stamp_;
  for (const Ready& r : ready) wake(r.class_id, r.count);
}

void ClaimQueue::hand_on(const std::vector<long long>& classes) {
  for (const long long class_id : classes) wake(class_id, 1);
}

void ClaimQueue::wake_all() {
  ++stamp_;
  for (Waiter& waiter : waiters_) {
    waiter.woken = true;
    waiter.event.set();
  }
}

void ClaimQueue::wake(long long class_id, int count) {
  for (Waiter& waiter : waiters_) {
    if (count <= 0) return;
    const bool wants =
        std::find(waiter.classes.begin(), waiter.classes.end(), class_id) != waiter.classes.end();
    if (waiter.woken || !wants) continue;
    waiter.woken = true;
    waiter.event.set();
    --count;
  }
}

void ClaimQueue::found_nothing(const std::string& asker, std::uint64_t at) {
  if (empty_at_.size() > 100'000) empty_at_.clear();
  empty_at_[asker] = at;
}

bool ClaimQueue::nothing_new(const std::string& asker) const {
  const auto known = empty_at_.find(asker);
  return known != empty_at_.end() && known->second == stamp_;
}

Awaitable<bool> ClaimQueue::wait(Clock& clock, Deadline deadline, std::vector<long long> classes) {
  if (stopped_) co_return false;
  // Leaves the list however the wait ends; a wake-up that nobody used is handed on.
  struct Place {
    ClaimQueue& queue;
    std::list<Waiter>::iterator at;
    bool used = false;
    ~Place() {
      const bool hand_on = at->woken && !used;
      const std::vector<long long> wanted = std::move(at->classes);
      queue.waiters_.erase(at);
      if (!hand_on) return;
      queue.hand_on(wanted);
    }
  };
  waiters_.emplace_back(executor_, std::move(classes));
  Place place{.queue = *this, .at = std::prev(waiters_.end())};
  const bool set = co_await place.at->event.wait_until(clock, deadline);
  place.used = set;
  co_return set && !stopped_;
}

void ClaimQueue::stop() {
  stopped_ = true;
  for (Waiter& waiter : waiters_) waiter.event.set();
}

}  // namespace pn::market
