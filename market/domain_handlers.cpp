#include "market/domain_handlers.hpp"

#include "base/ids.hpp"
#include "base/json.hpp"
#include "base/result.hpp"
#include "base/rng.hpp"
#include "base/time.hpp"
#include "http/server.hpp"
#include "http/types.hpp"
#include "market/account.hpp"
#include "market/answers.hpp"
#include "market/context.hpp"
#include "market/identity_store.hpp"
#include "market/job_queries.hpp"
#include "market/numbers.hpp"
#include "market/tokens.hpp"

#include <algorithm>
#include <chrono>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>
#include <soci/soci.h>

namespace pn::market {
namespace {

Error no_domain() {
  return {ErrorKind::not_found, "domain_missing", "there is no domain with this id"};
}

/// The domain, for one of its own organization.
Result<DomainRow> own_domain(soci::session& session,
                             const DomainId& id,
                             const TokenClaims& account) {
  auto row = find_domain(session, id);
  if (!row || row->organization != account.organization) return no_domain();
  return std::move(*row);
}

/// No longer than the token that it is given for: withdrawn credentials would open doors for twice
/// their time.
std::chrono::seconds ttl_of_grant(const MarketContext& context, const TokenClaims& account) {
  const auto left = account.expires - context.clock.system_now();
  return std::clamp(std::chrono::floor<std::chrono::seconds>(left),
                    std::chrono::seconds(1),
                    context.settings.grant_ttl);
}

}  // namespace

void DomainHandlers::add_routes(http::Router& router) {
  using http::Method;
  using http::ServerRequest;
  router.add(Method::get, "/api/v1/domains", [this](ServerRequest& r) {
    return answered(context_.logger, list(r));
  });
  router.add(Method::post, "/api/v1/domains", [this](ServerRequest& r) {
    return answered(context_.logger, create(r));
  });
  router.add(Method::post, "/api/v1/domains/{domain}/auth", [this](ServerRequest& r) {
    return answered(context_.logger, authorize(r));
  });
  router.add(Method::del, "/api/v1/domains/{domain}", [this](ServerRequest& r) {
    return answered(context_.logger, remove(r));
  });
}

Json DomainHandlers::domain_json(const DomainRow& row,
                                 const std::optional<MintedToken>& token) const {
  Json json{{"id", row.id.str()},
            {"name", row.name},
            {"organization_id", row.organization.str()},
            {"domain_server_id", row.domain_server_id},
            {"domain_server",
             {{"id", row.domain_server_id},
              {"organization_id", context_.first.organization.str()},
              {"name", "main"},
              {"url", context_.public_url}}}};
  if (row.redirect_url) json["redirect_url"] = *row.redirect_url;
  if (token) {
    json["access_token"] = token->text;
    json["expires_at"] = format_rfc3339(token->expires);
  }
  return json;
}

Answer DomainHandlers::list(http::ServerRequest& request) {
  const Result<TokenClaims> account = account_of(context_.tokens, request);
  if (!account.ok()) co_return account.error();
  DomainQuery query;
  const std::string org = request.query_value("org").value_or("own");
  if (org == "own") query.organization = account->organization;
  if (org != "own" && org != "all") query.organization = OrganizationId(org);
  query.domain_server_id = request.query_value("domain_server_id").value_or("");
  const Result<int> limit = query_number(request, "limit", 1, 100, 100);
  if (!limit.ok()) co_return limit.error();
  const Result<int> offset = query_number(request, "offset", 0, 1'000'000'000, 0);
  if (!offset.ok()) co_return offset.error();
  query.limit = *limit;
  query.offset = *offset;
  const std::function<Result<std::vector<DomainRow>>(soci::session&)> work =
      [&](soci::session& s) -> Result<std::vector<DomainRow>> { return list_domains(s, query); };
  const auto rows = co_await context_.database.read<std::vector<DomainRow>>(work);
  if (!rows.ok()) co_return rows.error();
  Json domains = Json::array();
  for (const DomainRow& row : *rows) domains.push_back(domain_json(row, std::nullopt));
  const Json answer{{"domains", std::move(domains)}};
  co_return json_answer(200, answer);
}

Answer DomainHandlers::create(http::ServerRequest& request) {
  const Result<TokenClaims> account = account_of(context_.tokens, request);
  if (!account.ok()) co_return account.error();
  Result<Json> json = co_await read_json(request);
  if (!json.ok()) co_return json.error();
  JsonFields fields(*json, "domain");
  DomainRow row;
  row.name = fields.need_string("name");
  if (row.name.size() > 128) fields.fault("name", "must have at most 128 bytes");
  row.redirect_url = fields.string("redirect_url");
  const std::string server = fields.string("domain_server_id").value_or("");
  if (!server.empty() && server != context_.first.domain_server_id) {
    fields.fault("domain_server_id", "is not this market's own domain server");
  }
  std::string url = fields.string("domain_server_url").value_or("");
  while (!url.empty() && url.back() == '/') url.pop_back();
  if (!url.empty() && url != context_.public_url) {
    fields.fault("domain_server_url", "is not this market's own domain server");
  }
  const auto done = fields.done();
  if (!done.ok()) co_return done.error();
  row.id = DomainId(make_uuid(context_.rng));
  row.organization = account->organization;
  row.domain_server_id = context_.first.domain_server_id;
  const SystemTime now = context_.clock.system_now();
  const std::function<Result<void>(soci::session&)> work = [&](soci::session& s) -> Result<void> {
    add_domain(s, row, now);
    return {};
  };
  const Result<void> added = co_await context_.database.write<void>(work);
  if (!added.ok()) co_return added.error();
  std::optional<MintedToken> token;
  if (request.query_value("issue_token") == "true") {
    token = context_.tokens.mint_grant(*account, row.id, ttl_of_grant(context_, *account));
  }
  co_return json_answer(201, domain_json(row, token));
}

Answer DomainHandlers::authorize(http::ServerRequest& request) {
  const Result<TokenClaims> account = account_of(context_.tokens, request);
  if (!account.ok()) co_return account.error();
  const DomainId id(request.params["domain"]);
  const std::function<Result<DomainRow>(soci::session&)> work =
      [&](soci::session& s) -> Result<DomainRow> { return own_domain(s, id, *account); };
  const Result<DomainRow> row = co_await context_.database.read<DomainRow>(work);
  if (!row.ok()) co_return row.error();
  const MintedToken token =
      context_.tokens.mint_grant(*account, id, ttl_of_grant(context_, *account));
  co_return json_answer(200, domain_json(*row, token));
}

Answer DomainHandlers::remove(http::ServerRequest& request) {
  const Result<TokenClaims> account = account_of(context_.tokens, request);
  if (!account.ok()) co_return account.error();
  const DomainId id(request.params["domain"]);
  const std::function<Result<void>(soci::session&)> work = [&](soci::session& s) -> Result<void> {
    const Result<DomainRow> row = own_domain(s, id, *account);
    if (!row.ok()) return row.error();
    if (has_open_jobs(s, id)) {
      return Error(ErrorKind::rejected,
                   "conflict",
                   "the domain has jobs that are pending or running; cancel them first");
    }
    remove_domain(s, id);
    return {};
  };
  const Result<void> removed = co_await context_.database.write<void>(work);
  if (!removed.ok() && removed.error().code == "database_constraint") {
    const Error error(
        ErrorKind::rejected, "conflict", "the domain still holds data; delete its data first");
    co_return error;
  }
  if (!removed.ok()) co_return removed.error();
  co_return http::ServerResponse::empty(204);
}

}  // namespace pn::market
