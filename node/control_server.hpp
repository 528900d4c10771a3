#pragma once

#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/log.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "http/server.hpp"
#include "node/node_status.hpp"

#include <filesystem>
#include <memory>
#include <optional>

namespace pn::node {

/// What an operator can have a node do. Called on the control loop.
class NodeOrders {
 public:
  virtual ~NodeOrders() = default;
  virtual NodeStatus status() = 0;
  /// As the first stop signal.
  virtual void drain() = 0;
  /// Takes effect at once; an Error says that a restart will not know of it.
  virtual Awaitable<Result<void>> pause(std::optional<SystemTime> until) = 0;
  virtual Awaitable<Result<void>> resume() = 0;
};

/// STATE_DIR/control.sock.
std::filesystem::path control_socket(const std::filesystem::path& state_dir);

/// HTTP on that socket, for the node's own user and root: GET /status, POST /drain,
/// POST /pause ({"for_secs":7200}, or {} for until it is resumed), POST /resume. Each answers the
/// status as it is then (status_json.hpp), or {"error":{"code":..,"message":..}}. `orders` outlives
/// the server.
Result<std::unique_ptr<http::Server>> make_control_server(Executor control,
                                                          Clock& clock,
                                                          log::Logger logger,
                                                          const std::filesystem::path& state_dir,
                                                          NodeOrders& orders);

}  // namespace pn::node
