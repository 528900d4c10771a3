#pragma once

#include "base/awaitable.hpp"
#include "base/log.hpp"
#include "base/result.hpp"
#include "bin/commands.hpp"
#include "bin/runner_set.hpp"
#include "node/config.hpp"
#include "node/engine.hpp"
#include "node/node.hpp"
#include "node/supervisor.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace pn::bin {

/// What the machine tells parse_config.
node::Host this_host();

/// A node with all that it is made of: loops, pools, clients, runners. Built and destroyed on the
/// control loop's thread, while that loop does not run.
class NodeHost final {
 public:
  /// `supervisor` outlives the node; null: nobody watches. `stuck`: as node::NodeParts. Kind
  /// `rejected` when an HTTP client cannot be made of the configuration.
  static Result<std::unique_ptr<NodeHost>> build(
      Executor control,
      node::Config config,
      const std::vector<RunnerState>& runners,
      log::Logger logger,
      node::Supervisor* supervisor = nullptr,
      node::RunMode mode = node::RunMode::serve,
      std::function<void(const node::Stuck&)> stuck = {});
  ~NodeHost();
  NodeHost(const NodeHost&) = delete;
  NodeHost& operator=(const NodeHost&) = delete;

  /// As node::Node; on the control loop.
  Awaitable<Result<void>> run();
  void request_stop();
  void cancel_tasks();
  [[nodiscard]] node::RunEnd end() const;

 private:
  struct Impl;
  explicit NodeHost(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace pn::bin
