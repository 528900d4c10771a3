#pragma once

#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "http/client.hpp"
#include "http/types.hpp"

#include <atomic>

namespace pn::node {

/// Until when a lease's runner may write: set by the heartbeats on the control loop, looked at by
/// who writes on the transfer loop. A process that was stopped for longer than its lease (SIGSTOP,
/// a frozen cgroup) goes on where it was, and its uploads with it, before any timer has told it
/// that time has passed: so each piece that goes out asks the clock. Thread: any.
class WriteFence final {
 public:
  /// Nothing once it is closed.
  void set(SteadyTime until) {
    SteadyTime::rep now = until_.load();
    while (now != kClosed && !until_.compare_exchange_weak(now, until.time_since_epoch().count())) {
    }
  }
  /// For good: the lease has ended.
  void close() { until_.store(kClosed); }
  /// Likewise, and nobody has the task after us: its job is canceled.
  void cancel() {
    canceled_.store(true);
    close();
  }
  [[nodiscard]] bool canceled() const { return canceled_.load(); }
  [[nodiscard]] bool passed(const Clock& clock) const {
    return clock.steady_now().time_since_epoch().count() >= until_.load();
  }

 private:
  static constexpr SteadyTime::rep kClosed = SteadyTime::min().time_since_epoch().count();

  std::atomic<SteadyTime::rep> until_{SteadyTime::max().time_since_epoch().count()};
  std::atomic<bool> canceled_{false};
};

/// Another client, behind a fence: past it nothing is sent, also on a connection that took long to
/// make, and a body that is under way breaks off (Request::may_send). Kind `restart`, code
/// "lease_lost". But a DELETE goes out when the job is canceled: it takes back what we sent in
/// vain, and there is no other attempt that it could harm. All outlive it.
class FencedHttp final : public http::HttpClient {
 public:
  FencedHttp(http::HttpClient& http, const Clock& clock, const WriteFence& fence)
      : http_(http), clock_(clock), fence_(fence) {}
  Awaitable<Result<http::Response>> send(http::Request request) override;

 private:
  [[nodiscard]] Result<void> may_send(http::Method method) const;

  http::HttpClient& http_;
  const Clock& clock_;
  const WriteFence& fence_;
};

}  // namespace pn::node
