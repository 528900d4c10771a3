#pragma once

#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/event.hpp"
#include "base/log.hpp"
#include "base/result.hpp"
#include "base/rng.hpp"
#include "base/time.hpp"
#include "node/dms_client.hpp"
#include "node/lease.hpp"
#include "node/lease_core.hpp"
#include "node/metrics.hpp"
#include "node/write_fence.hpp"
#include "storage/task_token.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pn::node {

/// How a lease came to its end before its task did.
enum class LeaseEnd {
  none,
  canceled,  ///< the job was canceled: no receipt
  lost,      ///< it is definitely not ours: no receipt
  fenced,    ///< nobody renewed it until the fence: it may be another's any moment: no receipt
};
/// "canceled", "lost", "fenced"
std::string_view name(LeaseEnd end);

struct HeartbeatParts {
  Executor control;
  DmsClient& dms;
  Clock& clock;
  Rng& rng;
  Metrics& metrics;
  log::Logger logger;
  WriteFence& fence;  ///< kept to what this lease is known to last
};

/// The heartbeats of one lease: the shell around LeaseCore. Carries the latest progress, and events
/// in order until they are acknowledged; puts what answers bring into the lease and its token. A
/// runner that tells more than heartbeats can carry loses its newest events: in their place the
/// stream says `{"event":"events_dropped","count":N}`.
/// Thread: the control loop's.
class HeartbeatLoop final {
 public:
  /// `lease` and `token` outlive the loop and are changed by it.
  HeartbeatLoop(HeartbeatParts parts, LeasePolicy policy, Lease& lease, storage::TaskToken& token);

  /// The first beat, tried again until it is accepted, refused, past the fence, or past `limit`.
  /// An Error with end() none is a set-up that failed.
  Awaitable<Result<void>> open(Millis limit);

  /// Beats until the lease ends; then end() says how. Cancelled by who has no more use for it.
  Awaitable<void> run();

  void set_progress(std::string json);
  void add_event(std::string json);

  /// Returns when the latest progress and all events are acknowledged; gives up after a few tries,
  /// or with the lease. At once, without a request, when there is nothing to tell.
  Awaitable<void> flush();

  /// Beats now: the domain server refused the task token, and only a heartbeat brings another.
  /// `done` is called once a beat sent after this has been accepted, or the lease has ended.
  void renew_token(std::function<void()> done);

  /// Ends the lease: it is known from elsewhere that it is not ours any more.
  void lose();

  /// Ends open() and flush() soon, for a node that shuts down.
  void give_up();

  /// As seen by the loop; `now` is asked too: past the fence a lease has ended.
  LeaseEnd end();

  /// max() when no end is known.
  [[nodiscard]] SteadyTime fence() const { return core_.fence(); }
  /// In a row.
  [[nodiscard]] int failures() const { return core_.failures(); }

 private:
  /// What a runner told, or where it told more than was kept.
  struct Told {
    std::string json;
    std::uint64_t dropped = 0;
  };

  Awaitable<Result<void>> beat();
  void beat_failed(const Error& error);
  void beat_accepted(LeaseUpdate update, std::size_t events, std::uint64_t version);
  void drop_event();
  [[nodiscard]] std::vector<std::string> next_events() const;
  [[nodiscard]] bool clean() const { return acknowledged_ == version_ && events_.empty(); }
  void finish(LeaseEnd end);

  const HeartbeatParts parts_;
  Lease& lease_;
  storage::TaskToken& token_;

  LeaseCore core_;
  LeaseEnd end_ = LeaseEnd::none;
  std::string progress_ = "{}";
  std::uint64_t version_ = 0;       // of progress_
  std::uint64_t acknowledged_ = 0;  // the version that the server has
  std::deque<Told> events_;
  std::size_t event_bytes_ = 0;
  std::size_t in_flight_ = 0;  // of events_: in the beat under way
  bool gave_up_ = false;
  int flush_tries_ = 0;  // left; 0: nobody waits for a flush
  std::vector<std::function<void()>> token_waiters_;
  Event wake_;
  Event flushed_;
};

}  // namespace pn::node
