#pragma once

#include "base/strong_id.hpp"

namespace pn {

using JobId = StrongId<struct JobIdTag>;
using TaskId = StrongId<struct TaskIdTag>;
using LeaseId = StrongId<struct LeaseIdTag>;
using NodeId = StrongId<struct NodeIdTag>;
using DomainId = StrongId<struct DomainIdTag>;
/// A data item of a domain; what a receipt's `output_cids` hold.
using DataId = StrongId<struct DataIdTag>;
/// What a task names as its input: a data id, a URL or a name (wire.md). Parsed by
/// storage/cid.
using Cid = StrongId<struct CidTag>;
/// A versioned path such as "/spatial/sfm/v1".
using Capability = StrongId<struct CapabilityTag>;

}  // namespace pn
