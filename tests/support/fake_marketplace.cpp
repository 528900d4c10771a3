#include "tests/support/fake_marketplace.hpp"

#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/json.hpp"
#include "base/log.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "http/server.hpp"
#include "http/types.hpp"

#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pn::testing {

Json FakeMarketplace::Call::json() const {
  Result<Json> parsed = parse_json(body);
  return parsed ? *std::move(parsed) : Json();
}

FakeMarketplace::FakeMarketplace(Executor executor, Clock& clock) : clock_(clock) {
  const http::ServerOptions options;
  Result<std::unique_ptr<http::Server>> server =
      http::Server::listen(std::move(executor), clock, log::Logger(), options, routes());
  if (!server) throw std::runtime_error(to_string(server.error()));
  server_ = *std::move(server);
}

FakeMarketplace::~FakeMarketplace() = default;

Awaitable<void> FakeMarketplace::run() { return server_->run(); }
void FakeMarketplace::request_stop() { server_->request_stop(); }
std::string FakeMarketplace::url() const {
  return "http://127.0.0.1:" + std::to_string(server_->port());
}

void FakeMarketplace::offer(std::string_view task_id, Json more, Json task) {
  Json envelope{{"access_token", "task-token-1"},
                {"domain_id", "6b3f8c1e-0000-4000-8000-000000000001"},
                {"domain_server_url", url()}};
  Json body{{"id", std::string(task_id)},
            {"job_id", "j1"},
            {"capability", "/noop/v1"},
            {"inputs_cids", Json::array()},
            {"meta", Json::object()},
            {"attempts", 1},
            {"max_attempts", 3}};
  body.update(task);
  envelope["task"] = std::move(body);
  envelope.update(more);
  offers_.push_back(std::move(envelope));
}

std::vector<FakeMarketplace::Call> FakeMarketplace::of(std::string_view end) const {
  std::vector<Call> out;
  for (const Call& call : calls) {
    if (call.path.ends_with(end)) out.push_back(call);
  }
  return out;
}

std::vector<FakeMarketplace::Call> FakeMarketplace::uploads() const {
  std::vector<Call> out;
  for (const Call& call : of("/data")) {
    if (call.method == "POST") out.push_back(call);
  }
  return out;
}

std::string FakeMarketplace::in(std::chrono::milliseconds from_now) const {
  return format_rfc3339(clock_.system_now() + from_now);
}

FakeMarketplace::Answer FakeMarketplace::claim() {
  if (offers_.empty()) return {.status = 204, .body = ""};
  Json envelope = std::move(offers_.front());
  offers_.pop_front();
  if (!envelope.contains("lease_expires_at")) envelope["lease_expires_at"] = in(lease_ttl);
  return {.status = 200, .body = dump_json(envelope)};
}

FakeMarketplace::Answer FakeMarketplace::renew() const {
  const Json body{{"lease_expires_at", in(lease_ttl)}};
  return {.status = 200, .body = dump_json(body)};
}

http::Router FakeMarketplace::routes() {
  using http::Method;
  using Self = FakeMarketplace;
  http::Router router;
  const auto challenge = [this](const Call&) -> Answer {
    const Json body{{"nonce", "n0nce"},
                    {"domain", "dds.example"},
                    {"uri", "https://dds.example"},
                    {"version", "1"},
                    {"chainId", 8453},
                    {"issuedAt", in(std::chrono::milliseconds(0))}};
    return {.status = 200, .body = dump_json(body)};
  };
  const auto token = [this](const Call&) -> Answer {
    const Json body{{"access_token", "node-token-" + std::to_string(++tokens_)},
                    {"access_expires_at", in(std::chrono::hours(1))}};
    return {.status = 200, .body = dump_json(body)};
  };
  const auto ok = [](const Call&) -> Answer { return {}; };
  const auto stored = [this](const Call&) -> Answer {
    const std::string id = "data-" + std::to_string(++stored_);
    const std::string now = in(std::chrono::milliseconds(0));
    const Json item{{"id", id},
                    {"domain_id", "6b3f8c1e-0000-4000-8000-000000000001"},
                    {"name", "n"},
                    {"data_type", "binary"},
                    {"size", 1},
                    {"created_at", now},
                    {"updated_at", now}};
    const Json body{{"data", Json::array({item})}};
    return {.status = 200, .body = dump_json(body)};
  };
  const auto nothing = [](const Call&) -> Answer {
    return {.status = 200, .body = R"({"data":[]})"};
  };

  add(router, Method::post, "/internal/v1/auth/siwe/request", nullptr, challenge);
  add(router, Method::post, "/internal/v1/nodes/register-wallet", &Self::on_register, ok);
  add(router, Method::post, "/internal/v1/auth/siwe/verify", &Self::on_sign_in, token);
  add(router, Method::get, "/v1/tasks", &Self::on_claim, [this](const Call&) { return claim(); });
  add(router, Method::post, "/v1/tasks/{id}/heartbeat", &Self::on_heartbeat, [this](const Call&) {
    return renew();
  });
  add(router, Method::post, "/v1/tasks/{id}/complete", &Self::on_receipt, ok);
  add(router, Method::post, "/v1/tasks/{id}/fail", &Self::on_receipt, ok);
  add(router, Method::get, "/api/v1/domains/{d}/data", nullptr, nothing);
  add(router, Method::post, "/api/v1/domains/{d}/data", &Self::on_upload, stored);
  add(router, Method::get, "/health", &Self::on_health, ok);
  add(router, Method::get, "/v1/jobs", &Self::on_jobs, [](const Call&) -> Answer {
    return {.status = 401};
  });
  return router;
}

void FakeMarketplace::add(http::Router& router,
                          http::Method method,
                          std::string_view pattern,
                          Script FakeMarketplace::* script,
                          Usual usual) {
  router.add(method, pattern, [this, script, usual = std::move(usual)](http::ServerRequest& r) {
    return serve(r, script, usual);
  });
}

Awaitable<http::ServerResponse> FakeMarketplace::serve(http::ServerRequest& request,
                                                       Script FakeMarketplace::* script,
                                                       Usual usual) {
  const Result<std::string> body = co_await http::read_body(request, 64 * 1024 * 1024);
  const Call call{std::string(http::name(request.method)),
                  request.path,
                  request.bearer().value_or(""),
                  body ? *body : std::string(),
                  request.headers};
  calls.push_back(call);
  std::optional<Answer> answer;
  if (script != nullptr && this->*script) answer = (this->*script)(call);
  if (!answer) answer = usual(call);
  if (answer->after.count() > 0) co_await clock_.sleep_for(answer->after);
  if (answer->body.empty()) co_return http::ServerResponse::empty(answer->status);
  co_return http::ServerResponse::json(answer->status, answer->body);
}

}  // namespace pn::testing
