#pragma once

#include "base/awaitable.hpp"
#include "base/ids.hpp"
#include "base/json.hpp"
#include "base/result.hpp"
#include "base/rng.hpp"
#include "bin/client_session.hpp"
#include "bin/jobs.hpp"

#include <string>

namespace pn::bin {

struct JobFilter {
  std::string status;      ///< empty: any
  std::string capability;  ///< empty: any
  int limit = 50;          ///< of one page, 1 to 100
  std::string cursor;
};

/// DMS for clients. Answers whole JSON where a command may print it as it came. Errors: those of
/// ClientSession, and `corrupt`.
class DmsJobsClient final {
 public:
  DmsJobsClient(ClientSession& session, Rng& rng) : session_(session), rng_(rng) {}

  /// Under a key of its own, so that a lost answer cannot make two jobs.
  Awaitable<Result<JobId>> submit(std::string spec);
  Awaitable<Result<Json>> show(JobId id);
  Awaitable<Result<Json>> list(JobFilter filter);
  Awaitable<Result<Json>> cancel(JobId id);

 private:
  Awaitable<Result<Json>> json_of(http::Request request);

  ClientSession& session_;
  Rng& rng_;
};

}  // namespace pn::bin
