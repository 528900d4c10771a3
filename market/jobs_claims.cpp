#include "base/awaitable.hpp"
#include "base/deadline.hpp"
#include "base/ids.hpp"
#include "base/json.hpp"
#include "base/log.hpp"
#include "base/result.hpp"
#include "base/rng.hpp"
#include "base/time.hpp"
#include "market/context.hpp"
#include "market/identity_store.hpp"
#include "market/job_insert.hpp"
#include "market/job_store.hpp"
#include "market/jobs_service.hpp"
#include "market/task_classes.hpp"
#include "market/task_rules.hpp"
#include "market/tokens.hpp"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>
#include <soci/soci.h>

namespace pn::market {

Awaitable<void> JobsService::reload_classes(Idle idle) {
  const std::uint64_t reading = ++class_readings_;
  const std::function<Result<std::vector<TaskClass>>(soci::session&)> work =
      [](soci::session& s) -> Result<std::vector<TaskClass>> { return list_task_classes(s); };
  auto classes = co_await context_.database.read<std::vector<TaskClass>>(work);
  if (!classes.ok()) {
    // Until then tasks of a new class wait, with nobody who would ask for them.
    classes_behind_ = true;
    context_.logger.error("classes.failed", {log::field(classes.error())});
    co_return;
  }
  const bool grown = classes_.learn(*classes);
  if (grown) queue_.wake_all();  // who waits does not know the new ones yet
  // A reading that began after this one may know of a job that this one does not.
  if (idle == Idle::drop && reading == class_readings_) classes_.keep_only(*classes);
}

void JobsService::forget_node(const NodeId& node) {
  ++forgotten_;
  nodes_.erase(node);
  queue_.wake_all();
}

Awaitable<Result<NodeTraits>> JobsService::known_node(NodeId node) {
  if (const auto known = nodes_.find(node); known != nodes_.end()) co_return known->second;
  const std::function<Result<std::optional<NodeRow>>(soci::session&)> work =
      [&](soci::session& s) -> Result<std::optional<NodeRow>> { return find_node(s, node); };
  const std::uint64_t forgotten = forgotten_;
  const auto row = co_await context_.database.read<std::optional<NodeRow>>(work);
  if (!row.ok()) co_return row.error();
  if (!row->has_value()) {
    co_return Error(ErrorKind::unauthorized, "node_gone", "this node is not registered any more");
  }
  NodeTraits known;
  known.organization = (*row)->organization;
  known.attributes = (*row)->attributes;
  const Json capabilities = Json::parse((*row)->capabilities, nullptr, false);
  for (const Json& capability : capabilities) {
    if (capability.is_string()) known.capabilities.push_back(capability.get<std::string>());
  }
  // A row that was read while its node registered may be the old one: not for the next to see.
  if (forgotten == forgotten_) nodes_[node] = known;
  co_return known;
}

Awaitable<Result<std::optional<Lease>>> JobsService::claim(NodeId node,
                                                           std::optional<Capability> capability,
                                                           Deadline deadline,
                                                           Gone gone) {
  const std::string asker = node.str() + (capability ? capability->str() : "");
  std::vector<long long> classes;
  for (;;) {
    // Taken before the node is looked up, so that what an outdated one does not find is of an older
    // stamp: the same key may have registered with other capabilities since, and polls again.
    const std::uint64_t stamp = queue_.stamp();
    const Result<NodeTraits> known = co_await known_node(node);
    if (!known.ok()) {
      queue_.hand_on(classes);
      co_return known.error();
    }
    classes = classes_.fitting(*known, capability);
    if (!queue_.nothing_new(asker)) {
      if (gone()) {
        queue_.hand_on(classes);  // the wake-up was for one who can use it
        co_return std::optional<Lease>();
      }
      Result<std::optional<ClaimedRow>> row = co_await claim_once(node, classes);
      if (!row.ok()) {
        queue_.hand_on(classes);  // the task is still there, for who comes through
        co_return std::move(row).error();
      }
      if (row->has_value()) {
        Lease lease;
        lease.row = std::move(**row);
        const TaskRow& task = lease.row.task;
        lease.token = context_.tokens.mint_task(task.id,
                                                task.state.lease,
                                                node,
                                                task.organization,
                                                task.domain,
                                                context_.settings.task_token_ttl);
        context_.logger.info("task.leased",
                             {{"task", task.id},
                              {"job", task.job_id},
                              {"node", node},
                              {"attempt", task.state.attempts}});
        queue_.hand_on(classes);
        std::optional<Lease> found(std::move(lease));
        co_return found;
      }
      queue_.found_nothing(asker, stamp);
    }
    // What came while the writer looked is not waited for.
    if (queue_.stamp() != stamp && !deadline.passed(context_.clock)) continue;
    if (deadline.passed(context_.clock)) co_return std::optional<Lease>();
    const bool woken = co_await queue_.wait(context_.clock, deadline, classes);
    if (!woken) co_return std::optional<Lease>();
  }
}

Awaitable<Result<std::optional<ClaimedRow>>> JobsService::claim_once(
    NodeId node, std::vector<long long> classes) {
  if (classes.empty()) co_return std::optional<ClaimedRow>();
  const SystemTime now = context_.clock.system_now();
  const LeaseId lease(make_uuid(context_.rng));
  const std::function<Result<std::optional<ClaimedRow>>(soci::session&)> work =
      [&](soci::session& s) -> Result<std::optional<ClaimedRow>> {
    return claim_now(s, node, lease, classes, now);
  };
  co_return co_await context_.database.write<std::optional<ClaimedRow>>(work);
}

std::optional<ClaimedRow> JobsService::claim_now(soci::session& session,
                                                 const NodeId& node,
                                                 const LeaseId& lease,
                                                 const std::vector<long long>& classes,
                                                 SystemTime now) {
  std::optional<ClaimedRow> best;
  for (const long long class_id : classes) {
    auto next = store_.next_ready(session, class_id);
    if (!next) continue;
    const bool better =
        !best || next->task.priority > best->task.priority ||
        (next->task.priority == best->task.priority && next->task.seq < best->task.seq);
    if (better) best = std::move(next);
  }
  if (!best) return std::nullopt;
  TaskRow& task = best->task;
  Result<TaskState> leased =
      pn::market::claim(task.state, node, lease, now, context_.settings.lease_ttl);
  if (!leased.ok()) return std::nullopt;
  task.state = std::move(*leased);
  task.token_expires = now + context_.settings.task_token_ttl;
  store_.save_task(session, task, now);
  const JobState job = after_claim(task.job);
  if (job != task.job) store_.save_job(session, task.job_seq, job, now);
  task.job = job;
  return best;
}

}  // namespace pn::market
