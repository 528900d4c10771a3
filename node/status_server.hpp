#pragma once

#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/log.hpp"
#include "base/result.hpp"
#include "http/server.hpp"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace pn::node {

/// One thing that must be right for a node to be of use.
struct Check {
  std::string name;  ///< "sign_in", "poll", "drain"
  bool ok = false;
  std::string detail;  ///< for people; never a secret
};

/// {"ready":false,"checks":[{"name":"poll","ok":false,"detail":"..."}]}
std::string readiness_json(const std::vector<Check>& checks);

/// `/livez`: 200 as long as the control loop turns. `/readyz`: 200 when every check is ok, else
/// 503, with the checks as JSON either way. Kind `rejected`, code "address_in_use", when another
/// program listens there. `checks` is called on the control loop, as long as the server lives.
Result<std::unique_ptr<http::Server>> make_status_server(
    Executor control,
    Clock& clock,
    log::Logger logger,
    const http::ListenAddress& address,
    std::function<std::vector<Check>()> checks);

}  // namespace pn::node
