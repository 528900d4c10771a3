#pragma once

#include "base/awaitable.hpp"
#include "http/server.hpp"
#include "market/answers.hpp"
#include "market/context.hpp"
#include "market/jobs_service.hpp"

namespace pn::market {

/// DMS for clients: jobs (wire.md). The bearer is a domain grant, and sees its domain only.
class DmsClientHandlers final {
 public:
  DmsClientHandlers(MarketContext& context, JobsService& jobs) : context_(context), jobs_(jobs) {}
  DmsClientHandlers(const DmsClientHandlers&) = delete;
  DmsClientHandlers& operator=(const DmsClientHandlers&) = delete;

  /// The routes borrow this.
  void add_routes(http::Router& router);

 private:
  Answer estimate(http::ServerRequest& request);
  Answer submit(http::ServerRequest& request);
  Answer list(http::ServerRequest& request);
  Answer show(http::ServerRequest& request);
  Answer cancel(http::ServerRequest& request);
  Answer remove(http::ServerRequest& request);
  Answer busy(http::ServerRequest& request);

  Awaitable<Result<JobSpec>> read_spec(http::ServerRequest& request);

  MarketContext& context_;
  JobsService& jobs_;
};

}  // namespace pn::market
