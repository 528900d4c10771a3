#pragma once

#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/deadline.hpp"

#include <memory>

namespace pn {

/// A wake-up for one waiter: set() makes the present or next wait() return, once. Several set()
/// before a wait() are one. Thread: one loop's.
class Event final {
 public:
  explicit Event(Executor executor);
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void set();
  Awaitable<void> wait();
  /// True when set, false when the deadline came first.
  Awaitable<bool> wait_until(Clock& clock, Deadline deadline);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pn
