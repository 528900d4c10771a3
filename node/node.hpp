#pragma once

#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/log.hpp"
#include "base/offload.hpp"
#include "base/result.hpp"
#include "base/rng.hpp"
#include "base/time.hpp"
#include "http/client.hpp"
#include "node/config.hpp"
#include "node/disk_guard.hpp"
#include "node/engine.hpp"
#include "node/supervisor.hpp"
#include "runners/registry.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace pn::node {

/// A node that does not end.
struct Stuck {
  bool kept = false;      ///< every outcome is delivered, or on the disk for the next start
  std::string waits_for;  ///< for people
};

/// What bin builds for a node. References outlive the node.
struct NodeParts {
  Executor control;   ///< one thread: DDS, DMS, heartbeats, polling, status
  Executor transfer;  ///< one thread: the data plane and the runners' coroutines
  ThreadPool& compute;
  ThreadPool& io;
  Clock& clock;
  Rng& rng;
  http::HttpClient& control_http;   ///< made on `control`
  http::HttpClient& transfer_http;  ///< made on `transfer`
  runners::Registry& registry;      ///< filled
  log::Logger logger;
  Supervisor* supervisor = nullptr;  ///< null: nobody watches
  /// Told when runners' processes must have ended, whatever their grace. Empty: nobody cares.
  std::function<void(SteadyTime)> runners_end_by{};
  SpaceProbe space = probe_space;
  /// Told, at most once, when the node has stopped and cannot come to its end: what it waits for
  /// does not answer, and nothing can end it (a disk). Empty: then it waits for ever.
  std::function<void(const Stuck&)> stuck{};
};

/// A compute node: registration, tokens, polling, leases, heartbeats, runners, receipts, and its
/// status server and its control socket. Everything is called on the control loop.
class Node final {
 public:
  Node(NodeParts parts, Config config, RunMode mode = RunMode::serve);
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  /// Runs until request_stop() and the tasks at hand are done. An Error comes before the first
  /// request only, and is a matter of configuration (exit code 2): kind `rejected`, code
  /// "no_capability", "state_locked", "address_in_use", or what the file system said of STATE_DIR
  /// and WORK_DIR. Cancellation ends the runners, sends nothing, and throws operation_aborted.
  Awaitable<Result<void>> run();

  /// The first signal: lease nothing more, finish what is running, return from run(). After
  /// DRAIN_TIMEOUT_SECS (when not 0) it becomes cancel_tasks().
  void request_stop();
  /// The second: end the runners, report `node_shutdown`, and return soon. Implies request_stop().
  void cancel_tasks();

  /// How it ended, once run() has returned.
  [[nodiscard]] RunEnd end() const;

  /// Where /livez is served, for STATUS_ADDR with port 0; 0 before run() listens.
  [[nodiscard]] std::uint16_t status_port() const;
  /// Tasks being worked on.
  [[nodiscard]] std::size_t busy_slots() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pn::node
