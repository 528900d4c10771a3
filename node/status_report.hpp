#pragma once

#include "auth/node_session.hpp"
#include "base/clock.hpp"
#include "base/time.hpp"
#include "node/config.hpp"
#include "node/dms_client.hpp"
#include "node/engine.hpp"
#include "node/health.hpp"
#include "node/metrics.hpp"
#include "node/node_status.hpp"
#include "node/outbox.hpp"
#include "storage/input_cache.hpp"

#include <string>

namespace pn::node {

/// What the parts of a node cannot tell themselves; Node keeps it up to date.
struct NodeStanding {
  SystemTime started_at{};
  std::string status_url;
  bool stopping = false;
};

/// Makes the one status value out of what each part knows. References outlive it. Thread: the
/// control loop's.
class StatusReport final {
 public:
  struct Parts {
    Clock& clock;
    const Config& config;
    const auth::NodeSession& session;
    const DmsClient& dms;
    const Engine& engine;
    const Outbox& outbox;
    Metrics& metrics;
    const storage::InputCache* cache;  ///< null: there is none
    const NodeStanding& standing;
  };
  explicit StatusReport(const Parts& parts) : parts_(parts) {}

  [[nodiscard]] NodeStatus status() const;
  /// The gauges are set first: they tell what is now, and nobody else's event tells them.
  [[nodiscard]] std::string metrics() const;

  [[nodiscard]] HealthFacts facts() const;

 private:
  const Parts parts_;
};

}  // namespace pn::node
