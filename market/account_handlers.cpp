#include "market/account_handlers.hpp"

#include "base/awaitable.hpp"
#include "base/encoding.hpp"
#include "base/json.hpp"
#include "base/result.hpp"
#include "base/secret.hpp"
#include "http/server.hpp"
#include "http/types.hpp"
#include "market/account.hpp"
#include "market/answers.hpp"
#include "market/identity_store.hpp"
#include "market/secrets.hpp"
#include "market/tokens.hpp"

#include <cstddef>
#include <functional>
#include <optional>
#include <utility>

#include <nlohmann/json.hpp>
#include <soci/soci.h>

namespace pn::market {
namespace {

Error refused() {
  // Not which of the two: that would tell a guesser who exists.
  return {ErrorKind::unauthorized, "credentials", "these credentials are not known here"};
}

}  // namespace

void AccountHandlers::add_routes(http::Router& router) {
  using http::Method;
  using http::ServerRequest;
  router.add(Method::post, "/user/login", [this](ServerRequest& r) { return login(r); });
  router.add(Method::post, "/user/refresh", [this](ServerRequest& r) { return refresh(r); });
  router.add(Method::post, "/service/domains-access-token", [this](ServerRequest& r) {
    return access_token(r);
  });
}

http::ServerResponse AccountHandlers::user_tokens(const std::string& user,
                                                  const OrganizationId& organization) {
  Tokens& tokens = context_.tokens;
  const MintedToken access =
      tokens.mint_account(TokenType::user_access, user, organization, context_.settings.grant_ttl);
  const MintedToken again = tokens.mint_account(
      TokenType::user_refresh, user, organization, context_.settings.refresh_ttl);
  return json_answer(200, Json{{"access_token", access.text}, {"refresh_token", again.text}});
}

Awaitable<http::ServerResponse> AccountHandlers::login(http::ServerRequest& request) {
  Result<Json> json = co_await read_json(request);
  if (!json.ok()) co_return error_answer(json.error());
  JsonFields fields(*json, "login");
  const std::string email = fields.need_string("email");
  const Secret<std::string> password(fields.need_string("password"));
  const auto done = fields.done();
  if (!done.ok()) co_return error_answer(done.error());

  // The slow hash runs on the reader's thread; an unknown email costs the same time.
  static constexpr const char* kNobody = "scrypt$00$00";
  const std::function<Result<UserRow>(soci::session&)> work =
      [&](soci::session& s) -> Result<UserRow> {
    auto row = find_user_by_email(s, email);
    const bool right = matches_hash(password, row ? row->password_hash : kNobody);
    if (!row || !right) return refused();
    return std::move(*row);
  };
  const Result<UserRow> user = co_await context_.database.read<UserRow>(work);
  if (!user.ok()) {
    if (user.error().kind == ErrorKind::unauthorized) context_.logger.warn("login.refused");
    co_return error_answer(user.error());
  }
  co_return user_tokens(user->id, user->organization);
}

Awaitable<http::ServerResponse> AccountHandlers::refresh(http::ServerRequest& request) {
  const std::string bearer = request.bearer().value_or("");
  const Result<TokenClaims> claims = context_.tokens.verify(bearer);
  if (!claims.ok() || claims->type != TokenType::user_refresh) {
    co_return error_answer(claims.ok() ? refused() : claims.error());
  }
  const std::function<Result<std::optional<UserRow>>(soci::session&)> work =
      [&](soci::session& s) -> Result<std::optional<UserRow>> {
    return find_user(s, claims->subject);
  };
  const auto user = co_await context_.database.read<std::optional<UserRow>>(work);
  if (!user.ok()) co_return error_answer(user.error());
  if (!user->has_value()) co_return error_answer(refused());
  co_return user_tokens((*user)->id, (*user)->organization);
}

Awaitable<http::ServerResponse> AccountHandlers::access_token(http::ServerRequest& request) {
  const std::string header(request.headers.find("authorization").value_or(""));
  Result<TokenClaims> account = account_of(context_.tokens, request);
  if (!request.bearer()) {
    account = co_await app_by_basic(header);
  }
  if (!account.ok()) co_return error_answer(account.error());
  const MintedToken token = context_.tokens.mint_account(
      account->type, account->subject, account->organization, context_.settings.grant_ttl);
  const Json answer{{"access_token", token.text}};
  co_return json_answer(200, answer);
}

Awaitable<Result<TokenClaims>> AccountHandlers::app_by_basic(std::string header) {
  const std::size_t blank = header.find(' ');
  std::string scheme = header.substr(0, blank);
  for (char& c : scheme) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  if (scheme != "basic" || blank == std::string::npos) co_return refused();
  const auto pair = from_base64(std::string_view(header).substr(blank + 1));
  const std::size_t colon = pair ? pair->find(':') : std::string::npos;
  if (colon == std::string::npos) co_return refused();
  const std::string key = pair->substr(0, colon);
  const Secret<std::string> secret(pair->substr(colon + 1));
  const std::function<Result<AppRow>(soci::session&)> work =
      [&](soci::session& s) -> Result<AppRow> {
    auto row = find_app(s, key);
    if (!row || !matches_hash(secret, row->secret_hash)) return refused();
    return std::move(*row);
  };
  const Result<AppRow> app = co_await context_.database.read<AppRow>(work);
  if (!app.ok()) co_return app.error();
  TokenClaims claims;
  claims.type = TokenType::app_access;
  claims.subject = app->app_key;
  claims.organization = app->organization;
  co_return claims;
}

}  // namespace pn::market
