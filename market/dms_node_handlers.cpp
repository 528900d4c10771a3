#include "market/dms_node_handlers.hpp"

#include "base/deadline.hpp"
#include "base/ids.hpp"
#include "base/json.hpp"
#include "base/result.hpp"
#include "http/server.hpp"
#include "http/types.hpp"
#include "market/account.hpp"
#include "market/answers.hpp"
#include "market/dms_json.hpp"
#include "market/jobs_service.hpp"
#include "market/numbers.hpp"
#include "market/tokens.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

#include <nlohmann/json.hpp>

namespace pn::market {
namespace {

constexpr std::size_t kLongestCapability = 200;  // as in a job
constexpr std::chrono::seconds kLongestWait{60};

}  // namespace

std::optional<std::chrono::seconds> preferred_wait(const http::Headers& headers) {
  std::string_view rest = headers.find("prefer").value_or("");
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find_first_of(",;"), rest.size());
    const std::string_view preference = trimmed(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
    const std::size_t equals = preference.find('=');
    if (equals == std::string_view::npos || trimmed(preference.substr(0, equals)) != "wait") {
      continue;
    }
    const std::string_view number = trimmed(preference.substr(equals + 1));
    int seconds = 0;
    const auto [at, code] = std::from_chars(number.data(), number.data() + number.size(), seconds);
    if (code != std::errc() || at != number.data() + number.size() || seconds < 0) continue;
    return std::min(std::chrono::seconds(seconds), kLongestWait);
  }
  return std::nullopt;
}

void DmsNodeHandlers::add_routes(http::Router& router) {
  using http::Method;
  using http::ServerRequest;
  router.add(Method::get, "/v1/tasks", [this](ServerRequest& r) {
    return answered(context_.logger, claim(r));
  });
  router.add(Method::post, "/v1/tasks/{task}/heartbeat", [this](ServerRequest& r) {
    return answered(context_.logger, heartbeat(r));
  });
  router.add(Method::post, "/v1/tasks/{task}/complete", [this](ServerRequest& r) {
    return answered(context_.logger, complete(r));
  });
  router.add(Method::post, "/v1/tasks/{task}/fail", [this](ServerRequest& r) {
    return answered(context_.logger, fail(r));
  });
}

Answer DmsNodeHandlers::claim(http::ServerRequest& request) {
  const Result<TokenClaims> node = node_of(context_.tokens, request);
  if (!node.ok()) co_return node.error();
  std::optional<Capability> capability;
  if (const auto asked = request.query_value("capability"); asked && !asked->empty()) {
    if (asked->size() > kLongestCapability) {
      co_return Error(ErrorKind::rejected, "capability", "a capability has 200 bytes at most");
    }
    capability = Capability(*asked);
  }
  const auto wait = preferred_wait(request.headers);
  const Deadline deadline = Deadline::in(context_.clock, wait.value_or(std::chrono::seconds(0)));
  const NodeId id(node->subject);
  const JobsService::Gone gone = [&request] { return request.peer_gone(); };
  const auto lease = co_await jobs_.claim(id, capability, deadline, gone);
  if (!lease.ok()) co_return lease.error();
  http::ServerResponse response = http::ServerResponse::empty(204);
  if (lease->has_value()) response = json_answer(200, lease_json(**lease, context_.public_url));
  if (wait) response.headers.set("Preference-Applied", "wait");
  co_return response;
}

Answer DmsNodeHandlers::heartbeat(http::ServerRequest& request) {
  const Result<TokenClaims> node = node_of(context_.tokens, request);
  if (!node.ok()) co_return node.error();
  Result<Json> json = co_await read_json(request);
  if (!json.ok()) co_return json.error();
  Result<HeartbeatReport> report = parse_heartbeat(*json);
  if (!report.ok()) co_return report.error();
  report->task = TaskId(request.params["task"]);
  report->who.node = NodeId(node->subject);
  const Result<HeartbeatAnswer> answer = co_await jobs_.heartbeat(std::move(*report));
  if (!answer.ok()) co_return answer.error();
  co_return json_answer(200, heartbeat_json(*answer, context_.public_url));
}

Answer DmsNodeHandlers::complete(http::ServerRequest& request) {
  const Result<TokenClaims> node = node_of(context_.tokens, request);
  if (!node.ok()) co_return node.error();
  const NodeId id(node->subject);
  co_return co_await finish(request, id, true);
}

Answer DmsNodeHandlers::fail(http::ServerRequest& request) {
  const Result<TokenClaims> node = node_of(context_.tokens, request);
  if (!node.ok()) co_return node.error();
  const NodeId id(node->subject);
  co_return co_await finish(request, id, false);
}

Answer DmsNodeHandlers::finish(http::ServerRequest& request, NodeId node, bool success) {
  // A 413 would be final: the node's work would be lost for a long list of what it made.
  Result<Json> json = co_await read_json(request, kLargeBody);
  if (!json.ok()) co_return json.error();
  Result<ReceiptReport> report = success ? parse_complete(*json) : parse_fail(*json);
  if (!report.ok()) co_return report.error();
  report->task = TaskId(request.params["task"]);
  report->who.node = std::move(node);
  const std::string task = report->task.str();
  const Result<void> done = co_await jobs_.finish(std::move(*report));
  if (!done.ok()) co_return done.error();
  const Json answer{{"task_id", task}, {"status", success ? "completed" : "failed"}};
  co_return json_answer(200, answer);
}

}  // namespace pn::market
