#include "bin/dms_jobs_client.hpp"

#include "base/awaitable.hpp"
#include "base/ids.hpp"
#include "base/json.hpp"
#include "base/result.hpp"
#include "base/rng.hpp"
#include "bin/jobs.hpp"
#include "http/client.hpp"
#include "http/types.hpp"

#include <cstdint>
#include <string>
#include <utility>

#include <nlohmann/json.hpp>

namespace pn::bin {
namespace {

/// A job comes whole, about 700 bytes a task: the ordinary limit is reached at 3,000 tasks.
constexpr std::uint64_t kWholeJobLimit = 256 * 1024 * 1024;

}  // namespace

Awaitable<Result<Json>> DmsJobsClient::json_of(http::Request request) {
  request.headers.set("accept", "application/json");
  Result<http::Response> answer = co_await session_.send(std::move(request));
  if (!answer) co_return std::move(answer).error();
  Result<Json> json = parse_json(answer->body);
  if (!json) co_return within("DMS", std::move(json).error());
  co_return json;
}

Awaitable<Result<JobId>> DmsJobsClient::submit(std::string spec) {
  http::Request request(http::Method::post, session_.settings().dms_base_url.append({"jobs"}));
  request.headers.set("content-type", "application/json");
  request.headers.set("accept", "application/json");
  request.headers.set("idempotency-key", make_uuid(rng_));
  request.body = std::move(spec);
  Result<http::Response> answer = co_await session_.send(std::move(request));
  if (!answer) co_return within("submitting the job", std::move(answer).error());
  co_return parse_submitted(answer->body);
}

Awaitable<Result<Json>> DmsJobsClient::show(JobId id) {
  http::Request request(session_.settings().dms_base_url.append({"jobs", id.str()}));
  request.body_limit = kWholeJobLimit;
  Result<Json> json = co_await json_of(std::move(request));
  if (!json) co_return within("job " + id.str(), std::move(json).error());
  co_return json;
}

Awaitable<Result<Json>> DmsJobsClient::list(JobFilter filter) {
  http::Url url = session_.settings()
                      .dms_base_url.append({"jobs"})
                      .with_query("domain_id", session_.settings().domain.str())
                      .with_query("limit", std::to_string(filter.limit));
  if (!filter.status.empty()) url = url.with_query("status", filter.status);
  if (!filter.capability.empty()) url = url.with_query("capabilities", filter.capability);
  if (!filter.cursor.empty()) url = url.with_query("cursor", filter.cursor);
  http::Request request(std::move(url));
  Result<Json> json = co_await json_of(std::move(request));
  co_return json;
}

Awaitable<Result<Json>> DmsJobsClient::cancel(JobId id) {
  http::Request request(http::Method::post,
                        session_.settings().dms_base_url.append({"jobs", id.str(), "cancel"}));
  Result<Json> json = co_await json_of(std::move(request));
  if (!json) co_return within("job " + id.str(), std::move(json).error());
  co_return json;
}

}  // namespace pn::bin
