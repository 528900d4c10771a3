#include "market/tokens.hpp"

#include "auth/jwt.hpp"
#include "base/clock.hpp"
#include "base/digest.hpp"
#include "base/ids.hpp"
#include "base/json.hpp"
#include "base/result.hpp"
#include "base/rng.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

namespace pn::market {
namespace {

constexpr std::string_view kIssuer = "dds";
/// More than the tokens alive in a market of a thousand nodes; 1 MiB at most.
constexpr std::size_t kKnownLimit = 8192;

constexpr std::array kNames{
    std::pair{TokenType::node_access, std::string_view("node-access")},
    std::pair{TokenType::task_access, std::string_view("task-access")},
    std::pair{TokenType::user_access, std::string_view("user-access")},
    std::pair{TokenType::user_refresh, std::string_view("user-refresh")},
    std::pair{TokenType::app_access, std::string_view("app-access")},
};

Error refused(std::string code, std::string detail) {
  return {ErrorKind::unauthorized, std::move(code), std::move(detail)};
}

Result<TokenClaims> claims_of(const Json& json) {
  JsonFields fields(json, "token");
  TokenClaims out;
  const std::string issuer = fields.need_string("iss");
  const std::string type = fields.need_string("type");
  out.subject = fields.need_string("sub");
  out.organization = OrganizationId(fields.string("org").value_or(""));
  out.domain = DomainId(fields.string("domain_id").value_or(""));
  out.task = TaskId(fields.string("task_id").value_or(""));
  out.lease = LeaseId(fields.string("lease_id").value_or(""));
  out.credentials = fields.string("cred").value_or("");
  out.scopes = fields.strings("scopes").value_or(std::vector<std::string>());
  out.expires = SystemTime(std::chrono::seconds(fields.need_integer("exp")));
  const auto known =
      std::find_if(kNames.begin(), kNames.end(), [&](const auto& n) { return n.second == type; });
  if (!fields.done().ok() || issuer != kIssuer || known == kNames.end()) {
    return refused("token_malformed", "the token is not one of this market");
  }
  out.type = known->first;
  return out;
}

}  // namespace

std::string_view name(TokenType type) {
  return std::find_if(kNames.begin(), kNames.end(), [&](const auto& n) { return n.first == type; })
      ->second;
}

bool TokenClaims::has_scope(std::string_view scope) const {
  return std::find(scopes.begin(), scopes.end(), scope) != scopes.end();
}

Tokens::Tokens(const auth::SigningKey& key, const Clock& clock, Rng& rng, std::string audience)
    : key_(key), clock_(clock), rng_(rng), audience_(std::move(audience)) {}

MintedToken Tokens::mint(const TokenClaims& claims, std::chrono::seconds ttl) {
  // The claim has whole seconds: what we tell of the expiry must not be later than it.
  const auto now = std::chrono::floor<std::chrono::seconds>(clock_.system_now());
  const auto expires = now + ttl;
  Json json{{"iss", kIssuer},
            {"type", name(claims.type)},
            {"sub", claims.subject},
            {"org", claims.organization.str()},
            {"iat", now.time_since_epoch().count()},
            {"exp", expires.time_since_epoch().count()},
            {"jti", random_hex(rng_, 8)}};
  if (!claims.scopes.empty()) json["scopes"] = claims.scopes;
  if (claims.domain.empty()) {
    json["aud"] = {kIssuer};
  } else {
    json["domain_id"] = claims.domain.str();
    json["aud"] = {audience_, kIssuer};
  }
  if (!claims.credentials.empty()) json["cred"] = claims.credentials;
  if (!claims.task.empty()) json["task_id"] = claims.task.str();
  if (!claims.lease.empty()) json["lease_id"] = claims.lease.str();
  return {.text = key_.sign(dump_json(json)), .expires = SystemTime(expires)};
}

MintedToken Tokens::mint_node(const NodeId& node,
                              const OrganizationId& organization,
                              std::chrono::seconds ttl) {
  TokenClaims claims;
  claims.type = TokenType::node_access;
  claims.subject = node.str();
  claims.organization = organization;
  return mint(claims, ttl);
}

MintedToken Tokens::mint_task(const TaskId& task,
                              const LeaseId& lease,
                              const NodeId& node,
                              const OrganizationId& organization,
                              const DomainId& domain,
                              std::chrono::seconds ttl) {
  TokenClaims claims;
  claims.type = TokenType::task_access;
  claims.subject = node.str();
  claims.organization = organization;
  claims.domain = domain;
  claims.task = task;
  claims.lease = lease;
  claims.scopes = {"domain-data:rw"};
  return mint(claims, ttl);
}

MintedToken Tokens::mint_account(TokenType type,
                                 std::string_view subject,
                                 const OrganizationId& organization,
                                 std::chrono::seconds ttl) {
  TokenClaims claims;
  claims.type = type;
  claims.subject = subject;
  claims.organization = organization;
  return mint(claims, ttl);
}

MintedToken Tokens::mint_refresh(std::string_view user,
                                 const OrganizationId& organization,
                                 std::string credentials,
                                 std::chrono::seconds ttl) {
  TokenClaims claims;
  claims.type = TokenType::user_refresh;
  claims.subject = user;
  claims.organization = organization;
  claims.credentials = std::move(credentials);
  return mint(claims, ttl);
}

MintedToken Tokens::mint_grant(const TokenClaims& account,
                               const DomainId& domain,
                               std::chrono::seconds ttl) {
  TokenClaims claims = account;
  claims.domain = domain;
  claims.task = TaskId();
  claims.lease = LeaseId();
  claims.scopes = {"domain:rw", "domain-data:rw"};
  return mint(claims, ttl);
}

Result<TokenClaims> Tokens::verify(std::string_view token) {
  const Sha256Digest digest = sha256(token);
  const SystemTime now = clock_.system_now();
  if (const auto known = known_.find(digest); known != known_.end()) {
    if (now < known->second.expires) return known->second;
    known_.erase(known);
    return refused("token_expired", "the token has expired; sign in again");
  }
  ++signature_checks_;
  Result<Json> json = key_.verify(token, now);
  if (!json.ok()) return std::move(json).error();
  Result<TokenClaims> claims = claims_of(*json);
  if (claims.ok()) remember(digest, *claims);
  return claims;
}

void Tokens::remember(const Sha256Digest& digest, const TokenClaims& claims) {
  if (known_.size() >= kKnownLimit) {
    const SystemTime now = clock_.system_now();
    std::erase_if(known_, [&](const auto& entry) { return entry.second.expires <= now; });
    if (known_.size() >= kKnownLimit) known_.clear();  // each costs one check again
  }
  known_.emplace(digest, claims);
}

Result<DomainGrant> Tokens::domain_grant(std::string_view token,
                                         const DomainId& domain,
                                         DataAccess access) {
  Result<TokenClaims> claims = verify(token);
  if (!claims.ok()) return std::move(claims).error();
  if (claims->domain.empty()) {
    return refused("token_wrong_kind", "the token is for no domain; ask for a domain grant");
  }
  if (claims->domain != domain) {
    return Error(ErrorKind::rejected, "forbidden", "the token is for another domain");
  }
  const bool writes = claims->has_scope("domain-data:rw") || claims->has_scope("domain:rw");
  const bool reads = writes || claims->has_scope("domain-data:r") || claims->has_scope("domain:r");
  if (access == DataAccess::write ? !writes : !reads) {
    return Error(ErrorKind::rejected, "forbidden", "the token's scopes do not allow this");
  }
  DomainGrant grant;
  grant.domain = claims->domain;
  grant.organization = claims->organization;
  grant.subject = claims->subject;
  grant.task = claims->task;
  grant.lease = claims->lease;
  grant.scopes = std::move(claims->scopes);
  return grant;
}

}  // namespace pn::market
