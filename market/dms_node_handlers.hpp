#pragma once

#include "http/server.hpp"
#include "market/answers.hpp"
#include "market/context.hpp"
#include "market/jobs_service.hpp"

namespace pn::market {

/// DMS for nodes: claim, heartbeat, receipts (wire.md).
class DmsNodeHandlers final {
 public:
  DmsNodeHandlers(MarketContext& context, JobsService& jobs) : context_(context), jobs_(jobs) {}
  DmsNodeHandlers(const DmsNodeHandlers&) = delete;
  DmsNodeHandlers& operator=(const DmsNodeHandlers&) = delete;

  /// The routes borrow this.
  void add_routes(http::Router& router);

 private:
  Answer claim(http::ServerRequest& request);
  Answer heartbeat(http::ServerRequest& request);
  Answer complete(http::ServerRequest& request);
  Answer fail(http::ServerRequest& request);
  Answer finish(http::ServerRequest& request, NodeId node, bool success);

  MarketContext& context_;
  JobsService& jobs_;
};

/// The seconds of "Prefer: wait=N" (RFC 7240), at most 60; nothing without it.
std::optional<std::chrono::seconds> preferred_wait(const http::Headers& headers);

}  // namespace pn::market
