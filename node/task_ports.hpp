#pragma once

#include "base/log.hpp"
#include "base/result.hpp"
#include "http/client.hpp"
#include "node/write_fence.hpp"
#include "runners/task_context.hpp"
#include "storage/ports.hpp"
#include "storage/token_source.hpp"
#include "storage/upload_journal.hpp"

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

namespace pn::node {

/// What the ports of one task are built from. References outlive the ports.
struct PortsOrder {
  const runners::TaskInfo& info;
  std::string domain_server_url;
  storage::TokenSource& tokens;
  std::filesystem::path folder;  ///< the workspace; made by the time an input is fetched
  /// Makes the workspace where it is not there yet, on the transfer loop; throws WorkspaceFailure.
  std::function<void()> open_folder;
  log::Logger logger;
  const WriteFence& fence;  ///< past it nothing is written
};

struct TaskPorts {
  std::unique_ptr<http::HttpClient> http;           ///< what the ports send by, where it is theirs
  std::unique_ptr<storage::UploadJournal> uploads;  ///< and what they note
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
