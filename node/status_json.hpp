#pragma once

#include "node/node_status.hpp"

#include <string>

namespace pn::node {

/// /status.json: docs/reference/status.md lists its fields, which are frozen.
std::string status_json(const NodeStatus& status);

/// /readyz: {"ready":false,"checks":[{"name":"poll","ok":false,"detail":"..."}]}
std::string readiness_json(const std::vector<Check>& checks);

/// Every check is ok.
bool ready(const std::vector<Check>& checks);

}  // namespace pn::node
