#pragma once

#include "base/awaitable.hpp"
#include "base/deadline.hpp"
#include "base/event.hpp"
#include "base/ids.hpp"
#include "base/time.hpp"
#include "market/claim_queue.hpp"
#include "market/context.hpp"
#include "market/job_queries.hpp"
#include "market/job_spec.hpp"
#include "market/job_store.hpp"
#include "market/task_classes.hpp"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace pn::market {

/// What a node is told with a lease.
struct Lease {
  ClaimedRow row;
  MintedToken token;
};

struct HeartbeatReport {
  TaskId task;
  Reporter who;
  std::optional<std::string> progress;  ///< JSON
  std::vector<std::string> events;      ///< JSON each
};

struct HeartbeatAnswer {
  TaskRow task;
  bool cancel = false;
  std::optional<MintedToken> token;  ///< a newer one, when half of the last one's life is gone
};

struct ReceiptReport {
  TaskId task;
  Reporter who;
  bool success = false;
  bool retryable = true;
  std::string reason;
  std::string outputs = "[]";  ///< JSON array of ids
  std::string meta = "{}";     ///< JSON: what the node said besides
};

/// The jobs of the market: every change is one write, judged by task_rules. Thread: the market's
/// loop; its functions for the writer thread touch only `store_` and what they are given.
class JobsService final {
 public:
  JobsService(MarketContext& context, Executor executor);
  JobsService(const JobsService&) = delete;
  JobsService& operator=(const JobsService&) = delete;

  /// Reads the task classes. Blocks: before the loop runs.
  Result<void> start();

  // For clients (jobs_service.cpp). `who` is a domain grant.

  /// Kind `rejected`: "job_*", "forbidden" (another domain), "idempotency_conflict".
  Awaitable<Result<JobId>> submit(TokenClaims who, JobSpec spec, std::string idempotency_key);
  /// The job as it is then. `rejected` "conflict" when it has ended otherwise.
  Awaitable<Result<JobRow>> cancel(DomainId domain, JobId job);
  Awaitable<Result<void>> remove(DomainId domain, JobId job);

  // For nodes (jobs_claims.cpp; jobs_leases.cpp from the first heartbeat to the end).

  /// Whether the one who asked has left.
  using Gone = std::function<bool()>;
  /// Nothing: no work. Waits for it until `deadline`. Who is `gone` by the time there is work gets
  /// none: the task would be held by nobody until its lease ends.
  Awaitable<Result<std::optional<Lease>>> claim(NodeId node,
                                                std::optional<Capability> capability,
                                                Deadline deadline,
                                                Gone gone);
  Awaitable<Result<HeartbeatAnswer>> heartbeat(HeartbeatReport report);
  Awaitable<Result<void>> finish(ReceiptReport report);
  /// The node registered anew: its capabilities may be others.
  void forget_node(const NodeId& node);

  /// Requeues or fails what has expired, and drops what was deleted. Answers how many expired.
  Awaitable<Result<int>> sweep();

  /// Has tasks that failed claimed again once their pause is over; until cancelled
  /// (jobs_retries.cpp).
  Awaitable<void> release_retries();

  /// Waiting claims answer "no work".
  void stop_waiting() { queue_.stop(); }

 private:
  /// What a write changed beyond its own answer.
  struct Effects {
    std::vector<Ready> ready;
    std::optional<SystemTime> held{};  ///< a task waits until then
  };

  // jobs_claims.cpp
  Awaitable<Result<NodeTraits>> known_node(NodeId node);
  Awaitable<Result<std::optional<ClaimedRow>>> claim_once(NodeId node,
                                                          std::vector<long long> classes);
  /// What becomes of classes without open tasks. To drop them with each job would have a job of one
  /// kind after another wake all who wait.
  enum class Idle { keep, drop };
  Awaitable<void> reload_classes(Idle idle);

  void announce(const Effects& effects);
  // jobs_retries.cpp
  void release_by(SystemTime when);
  Awaitable<Result<void>> release_now();

  // On the writer thread.
  std::optional<ClaimedRow> claim_now(soci::session& session,
                                      const NodeId& node,
                                      const LeaseId& lease,
                                      const std::vector<long long>& classes,
                                      SystemTime now);
  std::optional<Error> finish_now(soci::session& session,
                                  const ReceiptReport& report,
                                  const std::string& attempt_id,
                                  const FailedAttempt& failed,
                                  Effects& effects);
  void apply_end(
      soci::session& session, TaskRow& task, const Ended& ended, SystemTime now, Effects& effects);
  bool expire_now(soci::session& session,
                  const TaskId& id,
                  const std::string& attempt_id,
                  SystemTime now,
                  Effects& effects);

  MarketContext& context_;
  ClaimQueue queue_;
  TaskClasses classes_;
  bool classes_behind_ = false;       ///< the last look failed: the sweep looks again
  std::uint64_t class_readings_ = 0;  ///< begun so far
  std::unordered_map<NodeId, NodeTraits> nodes_;
  std::uint64_t forgotten_ = 0;        ///< how often nodes registered anew
  Deadline release_at_{SteadyTime{}};  ///< the first look is made at the start
  Event sooner_;                       ///< release_at_ is earlier than it was
  int sweeps_ = 0;
  bool purging_ = false;  ///< there may be another deleted job to remove
  JobStore store_;        // writer thread only
};

}  // namespace pn::market
