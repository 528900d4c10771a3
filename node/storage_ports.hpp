#pragma once

#include "node/config.hpp"
#include "node/node.hpp"
#include "node/task_ports.hpp"
#include "node/upload_log.hpp"
#include "storage/domain_calls.hpp"
#include "storage/flights.hpp"
#include "storage/input_cache.hpp"

namespace pn::node {

/// The real ports of a task: the domain server that its lease names. Thread: see TaskPortsFactory.
class StoragePorts final : public TaskPortsFactory {
 public:
  /// All outlive it. `cache` may be null: there is none.
  StoragePorts(const NodeParts& parts,
               const Config& config,
               UploadLog& uploads,
               storage::InputCache* cache)
      : parts_(parts), config_(config), uploads_(uploads), cache_(cache) {}

  /// Kind `rejected`, code "domain_server_missing" or "domain_missing", when the lease names none.
  Result<TaskPorts> make(const PortsOrder& order) override;

 private:
  const NodeParts& parts_;
  const Config& config_;
  UploadLog& uploads_;
  storage::InputCache* const cache_;
  storage::LimitsCache limits_;  // transfer loop only
  storage::Flights flights_;     // transfer loop only
  storage::Flights uploading_;   // transfer loop only
};

}  // namespace pn::node
