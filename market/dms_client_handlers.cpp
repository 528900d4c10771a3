#include "market/dms_client_handlers.hpp"

#include "base/awaitable.hpp"
#include "base/ids.hpp"
#include "base/json.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "http/server.hpp"
#include "http/types.hpp"
#include "market/account.hpp"
#include "market/answers.hpp"
#include "market/dms_json.hpp"
#include "market/job_graph.hpp"
#include "market/job_queries.hpp"
#include "market/job_spec.hpp"
#include "market/numbers.hpp"
#include "market/task_rules.hpp"
#include "market/tokens.hpp"

#include <charconv>
#include <functional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>
#include <soci/soci.h>

namespace pn::market {
namespace {

Error in_query(std::string detail) { return {ErrorKind::rejected, "query", std::move(detail)}; }

/// 1 to 128 visible ASCII characters; empty when the header is absent.
Result<std::string> idempotency_key(const http::Headers& headers) {
  const auto header = headers.find("idempotency-key");
  if (!header) return std::string();
  bool good = !header->empty() && header->size() <= 128;
  for (const char c : *header) good = good && c > 0x20 && c < 0x7f;
  if (good) return std::string(*header);
  return Error(ErrorKind::rejected,
               "idempotency_key",
               "Idempotency-Key must be 1 to 128 visible ASCII characters without blanks");
}

Result<JobQuery> parse_query(const http::ServerRequest& request, const DomainId& domain) {
  JobQuery query;
  query.domain = domain;
  const std::string asked = request.query_value("domain_id").value_or("");
  if (!asked.empty() && asked != domain.str()) {
    return Error(ErrorKind::rejected, "forbidden", "the grant is for another domain");
  }
  const Result<int> limit = query_number(request, "limit", 1, 100, 50);
  if (!limit.ok()) return limit.error();
  query.limit = *limit;
  if (const auto cursor = request.query_value("cursor"); cursor && !cursor->empty()) {
    const char* const end = cursor->data() + cursor->size();
    const auto [at, code] = std::from_chars(cursor->data(), end, query.before);
    if (code != std::errc() || at != end || query.before <= 0) {
      return in_query("cursor must be a next_cursor of this list");
    }
  }
  if (const auto status = request.query_value("status"); status && !status->empty()) {
    query.status = parse_job_status(*status);
    if (!query.status) {
      return in_query("status must be pending, running, completed, failed or canceled");
    }
  }
  for (const auto& [key, value] : request.query) {
    if (key == "capabilities" && !value.empty()) query.capabilities.push_back(value);
  }
  if (query.capabilities.size() > 20) return in_query("at most 20 capabilities at once");
  query.match_all = request.query_value("match_all_capabilities") == "true";
  return query;
}

/// A job with everything of it.
struct WholeJob {
  JobRow job;
  TaskCounts counts{};
  std::vector<ShownTask> tasks;
  std::vector<ShownAttempt> attempts;
};

}  // namespace

void DmsClientHandlers::add_routes(http::Router& router) {
  using http::Method;
  using http::ServerRequest;
  router.add(Method::post, "/v1/jobs/estimate", [this](ServerRequest& r) {
    return answered(context_.logger, estimate(r));
  });
  router.add(Method::post, "/v1/jobs", [this](ServerRequest& r) {
    return answered(context_.logger, submit(r));
  });
  router.add(Method::get, "/v1/jobs", [this](ServerRequest& r) {
    return answered(context_.logger, list(r));
  });
  router.add(Method::get, "/v1/jobs/{job}", [this](ServerRequest& r) {
    return answered(context_.logger, show(r));
  });
  router.add(Method::post, "/v1/jobs/{job}/cancel", [this](ServerRequest& r) {
    return answered(context_.logger, cancel(r));
  });
  router.add(Method::del, "/v1/jobs/{job}", [this](ServerRequest& r) {
    return answered(context_.logger, remove(r));
  });
  router.add(Method::get, "/v1/nodes/busy", [this](ServerRequest& r) {
    return answered(context_.logger, busy(r));
  });
}

Awaitable<Result<JobSpec>> DmsClientHandlers::read_spec(http::ServerRequest& request) {
  Result<Json> json = co_await read_json(request, kLargeBody);
  if (!json.ok()) co_return std::move(json).error();
  co_return parse_job_spec(*json);
}

Answer DmsClientHandlers::estimate(http::ServerRequest& request) {
  const Result<TokenClaims> who = submitter_of(context_.tokens, request);
  if (!who.ok()) co_return who.error();
  const Result<JobSpec> spec = co_await read_spec(request);
  if (!spec.ok()) co_return spec.error();
  const Result<JobGraph> graph = make_job_graph(*spec);
  if (!graph.ok()) co_return graph.error();
  co_return json_answer(200, estimate_json(*spec));
}

Answer DmsClientHandlers::submit(http::ServerRequest& request) {
  const Result<TokenClaims> who = submitter_of(context_.tokens, request);
  if (!who.ok()) co_return who.error();
  const Result<std::string> key = idempotency_key(request.headers);
  if (!key.ok()) co_return key.error();
  Result<JobSpec> spec = co_await read_spec(request);
  if (!spec.ok()) co_return spec.error();
  const Result<JobId> job = co_await jobs_.submit(*who, std::move(*spec), *key);
  if (!job.ok()) co_return job.error();
  const Json answer{{"job_id", job->str()}};
  co_return json_answer(200, answer);
}

Answer DmsClientHandlers::list(http::ServerRequest& request) {
  const Result<TokenClaims> who = submitter_of(context_.tokens, request);
  if (!who.ok()) co_return who.error();
  const Result<JobQuery> query = parse_query(request, who->domain);
  if (!query.ok()) co_return query.error();
  const std::function<Result<JobPage>(soci::session&)> work =
      [&](soci::session& s) -> Result<JobPage> { return list_jobs(s, *query); };
  const Result<JobPage> page = co_await context_.database.read<JobPage>(work);
  if (!page.ok()) co_return page.error();
  Json items = Json::array();
  for (const JobItem& item : page->items) {
    items.push_back({{"job", job_json(item.job)}, {"tasks_summary", counts_json(item.counts)}});
  }
  Json answer{{"items", std::move(items)}};
  if (page->next) answer["next_cursor"] = std::to_string(*page->next);
  co_return json_answer(200, answer);
}

Answer DmsClientHandlers::show(http::ServerRequest& request) {
  const Result<TokenClaims> who = submitter_of(context_.tokens, request);
  if (!who.ok()) co_return who.error();
  const JobId id(request.params["job"]);
  const std::function<Result<WholeJob>(soci::session&)> work =
      [&](soci::session& s) -> Result<WholeJob> {
    auto job = find_job(s, id);
    if (!job || job->domain != who->domain) {
      return Error(ErrorKind::not_found, "job_missing", "there is no job with this id");
    }
    WholeJob whole;
    whole.counts = count_tasks(s, job->seq);
    whole.tasks = tasks_of_job(s, job->seq);
    whole.attempts = attempts_of_job(s, job->seq);
    whole.job = std::move(*job);
    return whole;
  };
  const Result<WholeJob> whole = co_await context_.database.read<WholeJob>(work);
  if (!whole.ok()) co_return whole.error();
  Json tasks = Json::array();
  for (const ShownTask& task : whole->tasks) tasks.push_back(task_json(task));
  Json receipts = Json::array();
  Json attempts = Json::array();
  for (const ShownAttempt& attempt : whole->attempts) {
    const bool reported = attempt.outcome == "completed" || attempt.outcome == "failed";
    if (reported) receipts.push_back(receipt_json(id, attempt));
    attempts.push_back(attempt_json(attempt));
  }
  const Json answer{{"job", job_json(whole->job)},
                    {"tasks_summary", counts_json(whole->counts)},
                    {"tasks", std::move(tasks)},
                    {"receipts", std::move(receipts)},
                    {"attempts", std::move(attempts)}};
  co_return json_answer(200, answer);
}

Answer DmsClientHandlers::cancel(http::ServerRequest& request) {
  const Result<TokenClaims> who = submitter_of(context_.tokens, request);
  if (!who.ok()) co_return who.error();
  const JobId id(request.params["job"]);
  const Result<JobRow> job = co_await jobs_.cancel(who->domain, id);
  if (!job.ok()) co_return job.error();
  const Json answer{{"id", job->id.str()},
                    {"status", name(job->status)},
                    {"updated_at", format_rfc3339(job->updated)}};
  co_return json_answer(200, answer);
}

Answer DmsClientHandlers::remove(http::ServerRequest& request) {
  const Result<TokenClaims> who = submitter_of(context_.tokens, request);
  if (!who.ok()) co_return who.error();
  const JobId id(request.params["job"]);
  const Result<void> removed = co_await jobs_.remove(who->domain, id);
  if (!removed.ok()) co_return removed.error();
  co_return http::ServerResponse::empty(204);
}

Answer DmsClientHandlers::busy(http::ServerRequest& request) {
  const Result<TokenClaims> who = submitter_of(context_.tokens, request);
  if (!who.ok()) co_return who.error();
  const std::function<Result<std::vector<BusyNode>>(soci::session&)> work =
      [&](soci::session& s) -> Result<std::vector<BusyNode>> { return busy_nodes(s, who->domain); };
  const auto nodes = co_await context_.database.read<std::vector<BusyNode>>(work);
  if (!nodes.ok()) co_return nodes.error();
  Json list = Json::array();
  for (const BusyNode& node : *nodes) list.push_back(busy_json(node));
  const Json answer{{"nodes", std::move(list)}};
  co_return json_answer(200, answer);
}

}  // namespace pn::market
