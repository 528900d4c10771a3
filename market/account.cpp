#include "market/account.hpp"

#include "base/result.hpp"
#include "http/server.hpp"
#include "market/tokens.hpp"

namespace pn::market {
namespace {

Error wrong_kind(const char* wanted) {
  return {ErrorKind::unauthorized,
          "token_wrong_kind",
          std::string("this call wants the token of ") + wanted};
}

Result<TokenClaims> claims_of(Tokens& tokens, const http::ServerRequest& request) {
  const auto bearer = request.bearer();
  if (!bearer || bearer->empty()) {
    return Error(
        ErrorKind::unauthorized, "token_missing", "the request needs Authorization: Bearer");
  }
  return tokens.verify(*bearer);
}

bool is_account(TokenType type) {
  return type == TokenType::user_access || type == TokenType::app_access;
}

}  // namespace

Result<TokenClaims> account_of(Tokens& tokens, const http::ServerRequest& request) {
  Result<TokenClaims> claims = claims_of(tokens, request);
  if (claims.ok() && (!is_account(claims->type) || !claims->domain.empty())) {
    return wrong_kind("a user or an app");
  }
  return claims;
}

Result<TokenClaims> node_of(Tokens& tokens, const http::ServerRequest& request) {
  Result<TokenClaims> claims = claims_of(tokens, request);
  if (claims.ok() && claims->type != TokenType::node_access) return wrong_kind("a compute node");
  return claims;
}

Result<TokenClaims> submitter_of(Tokens& tokens, const http::ServerRequest& request) {
  Result<TokenClaims> claims = claims_of(tokens, request);
  if (!claims.ok()) return claims;
  const bool writes = claims->has_scope("domain:rw") || claims->has_scope("domain-data:rw");
  if (!is_account(claims->type) || claims->domain.empty() || !writes) {
    return wrong_kind("a domain grant with domain:rw or domain-data:rw");
  }
  return claims;
}

}  // namespace pn::market
