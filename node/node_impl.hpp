#pragma once

#include "auth/node_session.hpp"
#include "auth/wallet.hpp"
#include "base/awaitable.hpp"
#include "base/deadline.hpp"
#include "base/event.hpp"
#include "base/log.hpp"
#include "base/nursery.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "http/server.hpp"
#include "node/config.hpp"
#include "node/control_server.hpp"
#include "node/dms_client.hpp"
#include "node/engine.hpp"
#include "node/housekeeping.hpp"
#include "node/metrics.hpp"
#include "node/node.hpp"
#include "node/node_cache.hpp"
#include "node/node_status.hpp"
#include "node/outbox.hpp"
#include "node/pause_file.hpp"
#include "node/state_journal.hpp"
#include "node/status_report.hpp"
#include "node/storage_ports.hpp"
#include "node/supervisor.hpp"
#include "node/task_run.hpp"

#include <memory>
#include <optional>
#include <utility>

namespace pn::node {

/// What stands in STATE_DIR when a node starts.
struct Prepared {
  OpenedState state;
  std::optional<Pause> pause;
};

/// A node's parts, and what holds them together.
struct Node::Impl final : NodeOrders {
  Impl(NodeParts p, Config c, RunMode m)
      : parts(std::move(p)),
        config(std::move(c)),
        mode(m),
        pause_file(config.state_dir),
        wake(parts.control),
        leaving(parts.control),
        working(parts.control),
        services(parts.control),
        children(parts.control),
        all(parts.control) {}

  // Set-up: node_build.cpp.
  static Result<Prepared> prepare(const Config& config, const log::Logger& logger);
  Result<void> build(auth::Wallet wallet);
  Result<void> open_doors();
  SpaceProbe build_cache();
  void log_start() const;
  // Life and end: node.cpp.
  Awaitable<Result<void>> run();
  void start_services();
  Awaitable<void> lease_and_work();
  Awaitable<void> work();
  Awaitable<void> watch_stop();
  Awaitable<void> live();
  Awaitable<void> watch_end();
  void leave_by(Deadline when);
  [[nodiscard]] Vitals vitals() const;

  NodeStatus status() override { return report->status(); }
  void drain() override;
  Awaitable<Result<void>> pause(std::optional<SystemTime> until) override;
  Awaitable<Result<void>> resume() override;

  const NodeParts parts;
  const Config config;
  const RunMode mode;
  PauseFile pause_file;

  bool stop_wanted = false;
  bool cancel_wanted = false;
  bool forced = false;  // the runners did not end in their time
  NodeStanding standing;
  Metrics metrics;
  std::optional<Prepared> prepared;
  std::optional<auth::NodeSession> session;
  std::optional<DmsClient> dms;
  std::optional<StateJournal> journal;
  std::optional<Outbox> outbox;
  std::optional<CacheRoom> cache_room;
  std::optional<Housekeeping> housekeeping;
  std::optional<StoragePorts> ports;
  std::optional<TaskParts> task_parts;
  std::optional<Engine> engine;
  std::optional<StatusReport> report;
  std::unique_ptr<http::Server> status_server;
  std::unique_ptr<http::Server> control_server;
  Event wake;
  Deadline gone_by;  // past which we are stuck
  bool over = false;
  Event leaving;

  Nursery working;   // the engine alone, so that it can be ended by itself
  Nursery services;  // what lives as long as the engine
  Nursery children;
  Nursery all;
};

}  // namespace pn::node
