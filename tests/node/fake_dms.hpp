#pragma once

#include "auth/access_tokens.hpp"
#include "base/json.hpp"
#include "http/client.hpp"
#include "tests/support/fake_clock.hpp"
#include "tests/support/fake_http.hpp"

#include <chrono>
#include <deque>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

namespace pn::node::testing {

using pn::testing::FakeClock;
using pn::testing::json_answer;

/// What one call is answered; `after` of virtual time passes first.
struct Reply {
  Reply(int s, std::string b) : status(s), body(std::move(b)) {}
  Reply(int s, Json b) : status(s), body(dump_json(b)) {}
  static Reply error(Error e) {
    Reply out(0, std::string());
    out.failure = std::move(e);
    return out;
  }
  static Reply hang() {
    Reply out(200, std::string("{}"));
    out.after = std::chrono::hours(24);
    return out;
  }

  int status;
  std::string body;
  http::Headers headers{};
  std::optional<Error> failure{};
  std::chrono::nanoseconds after{0};
};

/// DMS as the node's client sees it: leases are handed out from a queue, everything is kept.
class FakeDms final : public http::HttpClient {
 public:
  struct Call {
    std::string method;
    std::string path;
    Json body;
    http::Headers headers;
    SteadyTime at;
    std::string query{};
  };

  explicit FakeDms(FakeClock& clock) : clock_(clock) {}

  std::deque<Reply> claims;                    ///< empty: 204
  std::function<Reply(const Call&)> on_claim;  ///< instead of `claims`
  std::function<Reply(const Json& body)> on_heartbeat = [](const Json&) {
    return Reply(200, Json::object());
  };
  std::function<Reply(const Call&)> on_receipt = [](const Call&) {
    return Reply(200, Json::object());
  };
  std::vector<Call> calls;

  [[nodiscard]] std::vector<Call> of(std::string_view last_segment) const {
    std::vector<Call> out;
    for (const Call& call : calls) {
      if (call.path.ends_with("/" + std::string(last_segment))) out.push_back(call);
    }
    return out;
  }
  [[nodiscard]] std::size_t count(std::string_view last_segment) const {
    return of(last_segment).size();
  }

  Awaitable<Result<http::Response>> send(http::Request request) override {
    Call call{std::string(http::name(request.method)),
              request.url.path(),
              Json(),
              request.headers,
              clock_.steady_now(),
              request.url.query()};
    if (!request.body.empty()) call.body = *parse_json(request.body);
    calls.push_back(call);
    const Reply reply = answer(call);
    if (reply.after.count() > 0) co_await clock_.sleep_for(reply.after);
    if (reply.failure) co_return *reply.failure;
    http::Response response = json_answer(reply.status, reply.body);
    for (const auto& [name, value] : reply.headers.all()) response.headers.set(name, value);
    co_return response;
  }

 private:
  Reply answer(const Call& call) {
    if (call.path.ends_with("/tasks")) {
      if (on_claim) return on_claim(call);
      if (claims.empty()) return Reply(204, std::string());
      Reply reply = claims.front();
      claims.pop_front();
      return reply;
    }
    if (call.path.ends_with("/heartbeat")) return on_heartbeat(call.body);
    return on_receipt(call);
  }

  FakeClock& clock_;
};

/// Tokens t1, t2, ...: a rejected one is followed by the next.
class FakeTokens final : public auth::AccessTokenSource {
 public:
  Awaitable<Result<auth::AccessToken>> token() override {
    if (failure) co_return *failure;
    co_return auth::AccessToken("t" + std::to_string(serial));
  }
  void reject(const auth::AccessToken& used) override {
    if (used.reveal() == "t" + std::to_string(serial)) ++serial;
  }
  int serial = 1;
  std::optional<Error> failure;
};

/// A lease envelope with all that a node needs.
inline Json envelope(const FakeClock& clock,
                     std::string id,
                     std::chrono::milliseconds ttl = std::chrono::seconds(30),
                     std::string capability = "/noop/v1") {
  return Json{{"access_token", "task-token-1"},
              {"lease_expires_at", format_rfc3339(clock.system_now() + ttl)},
              {"domain_id", "d1"},
              {"domain_server_url", "https://domain.example"},
              {"task",
               {{"id", std::move(id)},
                {"job_id", "j1"},
                {"capability", std::move(capability)},
                {"inputs_cids", Json::array()},
                {"meta", Json::object()},
                {"attempts", 1},
                {"max_attempts", 3}}}};
}

}  // namespace pn::node::testing
