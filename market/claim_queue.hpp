#pragma once

#include "base/awaitable.hpp"
#include "base/deadline.hpp"
#include "base/event.hpp"
#include "base/ids.hpp"
#include "market/job_store.hpp"

#include <cstdint>
#include <list>
#include <string>
#include <unordered_map>
#include <vector>

namespace pn::market {

/// Who waits for work, and who need not even ask: the wake-up side of GET /tasks. Knows task
/// classes by number only. Thread: one loop's.
///
/// A waiter that is woken and finds work wakes the next one, so that many tasks reach many nodes
/// without all nodes asking for one task. A wake-up may be for nothing; it is never lost: one whose
/// waiter was cancelled goes to the next.
class ClaimQueue final {
 public:
  explicit ClaimQueue(Executor executor) : executor_(std::move(executor)) {}
  ClaimQueue(const ClaimQueue&) = delete;
  ClaimQueue& operator=(const ClaimQueue&) = delete;

  /// Tasks of these classes can be claimed now.
  void announce(const std::vector<Ready>& ready);

  /// A waiter took one task: there may be more of these classes, so the next waiter looks too.
  void hand_on(const std::vector<long long>& classes);
  /// Task classes or nodes' capabilities changed: everyone looks again.
  void wake_all();

  /// Changes with every announcement: a claim that found nothing finds nothing again until it does.
  [[nodiscard]] std::uint64_t stamp() const { return stamp_; }
  void found_nothing(const std::string& asker, std::uint64_t at);
  [[nodiscard]] bool nothing_new(const std::string& asker) const;

  /// True when there may be work of one of `classes`; false at the deadline, or when stopped.
  Awaitable<bool> wait(Clock& clock, Deadline deadline, std::vector<long long> classes);

  /// Every waiter, now and later, returns false.
  void stop();

 private:
  struct Waiter {
    Waiter(const Executor& executor, std::vector<long long> c)
        : event(executor), classes(std::move(c)) {}
    Event event;
    std::vector<long long> classes;
    bool woken = false;
  };

  void wake(long long class_id, int count);

  Executor executor_;
  std::list<Waiter> waiters_;
  std::unordered_map<std::string, std::uint64_t> empty_at_;
  std::uint64_t stamp_ = 1;
  bool stopped_ = false;
};

}  // namespace pn::market
