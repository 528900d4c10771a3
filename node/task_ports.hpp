#pragma once

#include "base/awaitable.hpp"
#include "base/log.hpp"
#include "base/result.hpp"
#include "base/secret.hpp"
#include "runners/task_context.hpp"
#include "storage/ports.hpp"

#include <filesystem>
#include <memory>
#include <string>

namespace pn::node {

/// The task token as the data plane takes it. Thread: the transfer loop's.
class LeaseTokens {
 public:
  virtual ~LeaseTokens() = default;
  [[nodiscard]] virtual Secret<std::string> current() = 0;
  /// After a 401 to `used`: a newer token when there is one by the end of the next heartbeat, else
  /// the same. Copyable arguments: nothing of the caller is kept.
  virtual Awaitable<Secret<std::string>> wait_newer(Secret<std::string> used) = 0;
};

/// What the ports of one task are built from. References outlive the ports.
struct PortsOrder {
  const runners::TaskInfo& info;
  std::string domain_server_url;
  LeaseTokens& tokens;
  std::filesystem::path folder;  ///< the workspace; made by the time a port is called
  log::Logger logger;
};

struct TaskPorts {
  std::unique_ptr<storage::InputPort> inputs;
  std::unique_ptr<storage::ArtifactPort> outputs;
};

/// Builds a task's ports: the seam between node and storage. make() is called on the control loop,
/// the ports on the transfer loop.
class TaskPortsFactory {
 public:
  virtual ~TaskPortsFactory() = default;
  virtual Result<TaskPorts> make(const PortsOrder& order) = 0;
};

}  // namespace pn::node
