#pragma once

#include "node/config.hpp"
#include "node/node.hpp"
#include "node/task_ports.hpp"
#include "storage/domain_calls.hpp"
#include "storage/flights.hpp"

namespace pn::node {

/// The real ports of a task: the domain server that its lease names. Thread: see TaskPortsFactory.
class StoragePorts final : public TaskPortsFactory {
 public:
  /// Both outlive it.
  StoragePorts(const NodeParts& parts, const Config& config) : parts_(parts), config_(config) {}

  /// Kind `rejected`, code "domain_server_missing" or "domain_missing", when the lease names none.
  Result<TaskPorts> make(const PortsOrder& order) override;

 private:
  const NodeParts& parts_;
  const Config& config_;
  storage::LimitsCache limits_;  // transfer loop only
  storage::Flights flights_;     // transfer loop only
};

}  // namespace pn::node
