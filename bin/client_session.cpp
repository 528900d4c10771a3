#include "bin/client_session.hpp"

#include "auth/jwt.hpp"
#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/encoding.hpp"
#include "base/ids.hpp"
#include "base/json.hpp"
#include "base/result.hpp"
#include "base/retry.hpp"
#include "base/rng.hpp"
#include "base/secret.hpp"
#include "base/time.hpp"
#include "bin/client_settings.hpp"
#include "bin/redaction.hpp"
#include "http/client.hpp"
#include "http/types.hpp"
#include "http/url.hpp"

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

namespace pn::bin {
namespace {

/// `aud` may be one text or a list of them (RFC 7519 4.1.3).
std::vector<std::string> audiences(const Json& claims) {
  std::vector<std::string> out;
  const auto at = claims.find("aud");
  if (at == claims.end()) return out;
  if (at->is_string()) out.push_back(at->get<std::string>());
  if (!at->is_array()) return out;
  for (const Json& item : *at) {
    if (item.is_string()) out.push_back(item.get<std::string>());
  }
  return out;
}

std::string without_slash(std::string text) {
  while (text.ends_with('/')) text.pop_back();
  return text;
}

Error wrong_grant(std::string_view what) {
  return {ErrorKind::unauthorized,
          "grant_wrong",
          "the domain grant that was issued " + std::string(what) + "; it is not used"};
}

RetryPolicy client_policy() {
  RetryPolicy policy;
  policy.max = Millis(5'000);
  policy.tries = 8;
  return policy;
}

bool transient(const Result<http::Response>& answer) {
  return !answer.ok() && answer.error().kind == ErrorKind::retry;
}

}  // namespace

Result<GrantAnswer> parse_grant(std::string_view body, const DomainId& domain, SystemTime now) {
  const Result<Json> json = parse_json(body);
  if (!json) return within("domain grant", json.error());
  JsonFields fields(*json, "domain grant");
  std::string token = fields.need_string("access_token");
  std::string server_text;
  if (const Json* server = fields.object("domain_server")) {
    JsonFields server_fields(*server, "domain server");
    server_text = server_fields.need_string("url");
    if (const auto fault = server_fields.error()) return *fault;
  } else {
    fields.fault("domain_server", "is missing");
  }
  const Result<void> sound = fields.done();
  if (!sound) return sound.error();
  const Result<http::Url> server = http::Url::parse(server_text);
  if (!server) return within("domain server", server.error());

  const Result<Json> claims = auth::unverified_claims(token);
  if (!claims) return wrong_grant("is no token");
  if (claims->value("iss", Json()) != "dds") return wrong_grant("was not issued by DDS");
  if (claims->value("domain_id", Json()) != domain.str()) {
    return wrong_grant("is for another domain");
  }
  const std::vector<std::string> heard_by = audiences(*claims);
  const bool for_dds = std::find(heard_by.begin(), heard_by.end(), "dds") != heard_by.end();
  const bool for_server = std::any_of(heard_by.begin(), heard_by.end(), [&](const auto& url) {
    return without_slash(url) == without_slash(server_text);
  });
  if (!for_dds || !for_server) return wrong_grant("is for another domain server");
  const Result<SystemTime> expiry = auth::token_expiry(*claims);
  if (!expiry || *expiry <= now) return wrong_grant("has expired");
  return GrantAnswer{.token = Secret<std::string>(std::move(token)),
                     .domain_server = *server,
                     .expires_at = *expiry};
}

ClientSession::ClientSession(http::HttpClient& http,
                             Clock& clock,
                             Rng& rng,
                             ClientSettings settings)
    : http_(http), clock_(clock), rng_(rng), settings_(std::move(settings)) {}

Awaitable<Result<http::Response>> ClientSession::patiently(http::Request request) {
  Backoff backoff(client_policy());
  for (;;) {
    http::Request copy = request;
    Result<http::Response> answer = co_await http_.send(std::move(copy));
    if (answer.ok() && (answer->status < 200 || answer->status > 299)) {
      answer = http::from_http_status(*answer);
    }
    if (!transient(answer)) co_return answer;
    const std::optional<Millis> pause = backoff.next(rng_, answer.error().after);
    if (!pause || *pause > std::chrono::seconds(30)) co_return answer;
    co_await clock_.sleep_for(*pause);
  }
}

Awaitable<Result<http::Response>> ClientSession::post(http::Url url, std::string authorization) {
  http::Request request(http::Method::post, std::move(url));
  request.headers.set("authorization", authorization);
  request.headers.set("accept", "application/json");
  request.headers.set("posemesh-client-id", settings_.client_id);
  request.timeout = settings_.request_timeout;
  Result<http::Response> answer = co_await patiently(std::move(request));
  co_return answer;
}

Awaitable<Result<DomainGrant>> ClientSession::sign_in() {
  const std::string pair = settings_.app_key + ":" + settings_.app_secret.reveal();
  http::Url login_url = settings_.api_base_url.append({"service", "domains-access-token"});
  std::string basic = "Basic " + to_base64(pair);
  Result<http::Response> login = co_await post(std::move(login_url), std::move(basic));
  if (!login) {
    co_return within(
        "signing in as APP_KEY " + settings_.app_key + " at " + settings_.api_base_url.str(),
        std::move(login).error());
  }
  const Result<Json> login_json = parse_json(login->body);
  if (!login_json) co_return within("sign-in answer", login_json.error());
  JsonFields login_fields(*login_json, "sign-in answer");
  const std::string app_token = login_fields.need_string("access_token");
  const Result<void> login_sound = login_fields.done();
  if (!login_sound) co_return login_sound.error();

  redactor()->add(Secret<std::string>(app_token));

  const SteadyTime asked_at = clock_.steady_now();
  http::Url grant_url =
      settings_.dds_base_url.append({"api", "v1", "domains", settings_.domain.str(), "auth"});
  std::string bearer = "Bearer " + app_token;
  Result<http::Response> granted = co_await post(std::move(grant_url), std::move(bearer));
  if (!granted) {
    co_return within("asking for domain " + settings_.domain.str(), std::move(granted).error());
  }
  const SystemTime now = http::server_date(granted->headers).value_or(clock_.system_now());
  Result<GrantAnswer> checked = parse_grant(granted->body, settings_.domain, now);
  if (!checked) co_return std::move(checked).error();
  redactor()->add(checked->token);
  const auto life = std::chrono::duration_cast<SteadyTime::duration>(checked->expires_at - now);
  DomainGrant grant{.token = std::move(checked->token),
                    .domain_server = std::move(checked->domain_server),
                    .renew_at = asked_at + life * 3 / 4};
  co_return grant;
}

Awaitable<Result<DomainGrant>> ClientSession::grant() {
  if (grant_ && clock_.steady_now() < grant_->renew_at) co_return *grant_;
  Result<DomainGrant> fresh = co_await sign_in();
  if (!fresh) co_return std::move(fresh).error();
  grant_ = *fresh;
  co_return fresh;
}

Awaitable<Result<http::Response>> ClientSession::send(http::Request request) {
  for (int attempt = 0;; ++attempt) {
    Result<DomainGrant> granted = co_await grant();
    if (!granted) co_return std::move(granted).error();
    request.headers.set("authorization", "Bearer " + granted->token.reveal());
    request.headers.set("posemesh-client-id", settings_.client_id);
    request.timeout = settings_.request_timeout;
    http::Request copy = request;
    Result<http::Response> answer = co_await patiently(std::move(copy));
    const bool refused = !answer.ok() && answer.error().kind == ErrorKind::unauthorized;
    if (!refused || attempt > 0) co_return answer;
    reject();
  }
}

}  // namespace pn::bin
