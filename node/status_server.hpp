#pragma once

#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/log.hpp"
#include "base/result.hpp"
#include "http/server.hpp"
#include "node/node_status.hpp"

#include <functional>
#include <memory>
#include <string>

namespace pn::node {

/// What the status server and the control socket show; called on the control loop.
struct StatusSource {
  std::function<NodeStatus()> status;
  std::function<std::string()> metrics;  ///< the text exposition format
};

/// `/livez`: 200 as long as the control loop turns. `/readyz`: 200 when every check is ok, else
/// 503, with the checks as JSON either way. `/status.json`, `/metrics`, and `/`: a page for people.
///
/// It answers GET alone and gives nothing to other sites: a request with a foreign Origin is
/// refused, and, where it listens on loopback, one whose Host is neither an address nor localhost
/// (a name that was made to point here). Kind `rejected`, code "address_in_use", when another
/// program listens there.
Result<std::unique_ptr<http::Server>> make_status_server(Executor control,
                                                         Clock& clock,
                                                         log::Logger logger,
                                                         const http::ListenAddress& address,
                                                         const StatusSource& source);

/// Whether a request with these header fields may be answered; `loopback`: what it came in on.
/// Pure.
bool may_answer(const http::Headers& headers, bool loopback);

}  // namespace pn::node
