#pragma once

#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/event.hpp"
#include "base/log.hpp"
#include "base/nursery.hpp"
#include "base/result.hpp"
#include "base/rng.hpp"
#include "node/dms_client.hpp"
#include "node/journal.hpp"
#include "node/lease.hpp"
#include "node/metrics.hpp"
#include "node/node_status.hpp"
#include "node/outbox_core.hpp"
#include "node/receipt.hpp"

#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace pn::node {

/// References outlive the outbox.
struct OutboxParts {
  Executor control;
  Journal& journal;
  DmsClient& dms;
  Clock& clock;
  Rng& rng;
  Metrics& metrics;
  log::Logger logger;
};

/// The attempts of this node that the server has not been told the end of: each is in the journal
/// from its lease on, so that no crash forgets one. Sends outcomes until they are taken, or set
/// aside for good: refused, or older than OUTBOX_MAX_AGE_HOURS.
///
/// Invariants
/// 1. store() returns when the outcome survives the machine's death, or has been logged not to
///    (outbox.not_durable); it is sent all the same.
/// 2. An outcome leaves the journal after the server took it, was asked for nothing more by the
///    server (canceled), or was superseded by a new lease of ours. It never just goes.
/// 3. What is sent names the lease under which it was reached, where the server named one.
///
///   leased ──store()──▶ pending ──2xx──▶ gone
///     │ lease_over()      │ 4xx, too old ──▶ set aside
///     ▼                   │ withdraw(), admit() of a failed one ──▶ gone
///   gone                  └ admit() of a completed one ──▶ pending, under the new lease
///
/// Thread: the control loop's.
class Outbox final {
 public:
  /// `max_age`: after which an outcome is set aside.
  Outbox(OutboxParts parts, std::chrono::hours max_age);
  Outbox(const Outbox&) = delete;
  Outbox& operator=(const Outbox&) = delete;

  /// What the journal held at start; attempts without an outcome have one by now. Once, before the
  /// rest.
  void adopt(const std::vector<JournalRow>& rows);

  /// The sender; until it is cancelled.
  Awaitable<void> run();
  /// Returns when all that adopt() brought was tried once, or 5 s after the call: so that what a
  /// former life has to say of a task does not meet a lease of this one.
  Awaitable<void> replayed();

  /// A lease is ours: if we die now, `node_restarted` is reported.
  RowId lease_taken(const Lease& lease);
  /// It ended without an outcome (canceled, lost, fenced).
  void lease_over(RowId id);
  /// Takes over the delivery. `changed` is called whenever delivery() or delayed() may answer
  /// otherwise; until unwatch().
  Awaitable<void> store(RowId id, Receipt receipt, std::function<void()> changed);
  /// The two halves of store(), for who has something to say to the server in between: kept, it is
  /// not sent before release().
  Awaitable<void> keep(RowId id, Receipt receipt, std::function<void()> changed);
  void release(RowId id);
  void unwatch(RowId id);
  /// An outcome without an attempt (a lease that cannot be worked on). Returns when it is taken, or
  /// its first try has failed.
  Awaitable<void> report(Receipt receipt);
  /// The server wants to hear nothing of it any more.
  void withdraw(RowId id);

  /// Whether it is still to be delivered.
  [[nodiscard]] bool pending(RowId id) const { return entries_.contains(id); }
  /// Whether a try has failed, or none is made because the server is away.
  [[nodiscard]] bool delayed(RowId id) const { return core_.delayed(id); }

  /// False when the lease needs no work: its task was completed here under an earlier one, and that
  /// outcome goes out under this. What failed under an earlier one is not sent any more.
  Awaitable<bool> admit(const Lease& lease);

  /// False: the disk does not take outcomes, they are in memory.
  [[nodiscard]] bool durable() const { return parts_.journal.durable(); }
  /// Every outcome is taken, or on disk for the next start, and no attempt is without one.
  [[nodiscard]] bool kept() const { return leased_.empty() && (entries_.empty() || durable()); }
  [[nodiscard]] OutboxStatus status() const;

 private:
  struct Entry {
    TaskId task;
    Outcome outcome = Outcome::failed;
    std::string trace_id;
    SystemTime at{};
    SteadyTime too_old{};             ///< from here on
    std::optional<std::string> body;  ///< nothing: in the journal
    std::function<void()> changed{};
    bool replayed = false;  ///< of a former life, not tried yet
  };
  using Entries = std::map<RowId, Entry>;

  Awaitable<void> send_all();
  Awaitable<void> send(RowId id);
  Awaitable<void> probe();
  void taken(RowId id);
  void not_taken(RowId id, const Error& why);
  void failed(RowId id, const Error& why);
  void set_aside(RowId id, std::string answer);
  void drop(RowId id);
  void tried(Entry& entry);
  void expire();
  void gauge();

  const OutboxParts parts_;
  const log::Logger logger_;
  const std::chrono::hours max_age_;

  OutboxCore core_;
  Entries entries_;
  std::set<RowId> leased_;  // without an outcome yet
  std::deque<SetAside> last_set_aside_;
  std::size_t set_aside_ = 0;
  RowId last_id_ = 0;
  std::size_t untried_ = 0;
  std::string last_error_;
  SteadyTime expire_at_;
  Event wake_;
  Event landed_;  // a send is over
  Event replayed_;

  Nursery children_;
};

}  // namespace pn::node
