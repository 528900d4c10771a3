#pragma once

#include "node/config.hpp"
#include "node/node.hpp"
#include "node/task_ports.hpp"
#include "node/upload_log.hpp"
#include "storage/domain_calls.hpp"

namespace pn::node {

/// The real ports of a task: the domain server that its lease names. Thread: see TaskPortsFactory.
class StoragePorts final : public TaskPortsFactory {
 public:
  /// All outlive it.
  StoragePorts(const NodeParts& parts, const Config& config, UploadLog& uploads)
      : parts_(parts), config_(config), uploads_(uploads) {}

  /// Kind `rejected`, code "domain_server_missing" or "domain_missing", when the lease names none.
  Result<TaskPorts> make(const PortsOrder& order) override;

 private:
  const NodeParts& parts_;
  const Config& config_;
  UploadLog& uploads_;
  storage::LimitsCache limits_;  // transfer loop only
};

}  // namespace pn::node
