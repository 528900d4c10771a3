#pragma once

#include "auth/node_session.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "node/node_status.hpp"

#include <optional>
#include <string>
#include <vector>

namespace pn::node {

/// What a node knows of itself besides what its status shows.
struct HealthFacts {
  SteadyTime now{};

  auth::SessionState session = auth::SessionState::registering;
  std::optional<Error> session_error;     ///< of the last attempt; nothing once it succeeded
  std::optional<Millis> token_remaining;  ///< nothing without a token

  bool asking = false;                     ///< a request for work is under way
  std::optional<SteadyTime> last_answer;   ///< of a request for work
  std::optional<Error> poll_error;         ///< of the last one; nothing once it was answered
  std::optional<SteadyTime> next_turn_by;  ///< when the poller must have moved on at the latest

  bool stopping = false;
  std::vector<std::string> engine_reasons;  ///< why the engine asks for no work
};

/// True when the poller did not move on when it had to: it hangs, and nobody asks for work.
bool poller_frozen(const HealthFacts& facts);

/// Fills in `state`, `reasons` and `checks` of a status whose other fields are there. Pure.
///
/// A check says whether its own thing is right; waiting for work is. `reasons` holds what keeps the
/// node from leasing, and nothing else: a clock that is off is a red check and no reason.
///
///   draining ◀ stopping · paused ◀ an operator's pause · full ◀ every slot is busy
///   starting ◀ nothing failed, and DMS was not heard yet · waiting ◀ any other reason · leasing
///
/// The first that fits, in this order.
void judge(const HealthFacts& facts, NodeStatus& status);

}  // namespace pn::node
