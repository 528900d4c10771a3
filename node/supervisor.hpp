#pragma once

#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/time.hpp"

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace pn::node {

/// Whoever started the node and watches over it (systemd). Thread: the control loop's; none of
/// these waits.
class Supervisor {
 public:
  virtual ~Supervisor() = default;
  /// How long it waits for alive() before it restarts the node; nothing: it does not.
  [[nodiscard]] virtual std::optional<Millis> watchdog() const = 0;
  /// The node listens, and its folders are fine.
  virtual void ready() = 0;
  virtual void alive() = 0;
  /// The node ends, and takes up to `more` until it tells again.
  virtual void stopping(Millis more) = 0;
  /// One line for people.
  virtual void say(std::string_view line) = 0;
};

/// How a node is, for its supervisor.
struct Vitals {
  bool alive = true;  ///< its poll loop turns
  bool stopping = false;
  std::string line;
};

/// Tells the supervisor how the node is, three times a watchdog period or more, until cancelled.
/// What does not live is not said to: then the supervisor acts.
Awaitable<void> supervise(Supervisor& supervisor, Clock& clock, std::function<Vitals()> look);

}  // namespace pn::node
