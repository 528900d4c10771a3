#include "market/account_handlers.hpp"

#include "base/awaitable.hpp"
#include "base/digest.hpp"
#include "base/encoding.hpp"
#include "base/json.hpp"
#include "base/offload.hpp"
#include "base/result.hpp"
#include "base/secret.hpp"
#include "http/server.hpp"
#include "http/types.hpp"
#include "market/account.hpp"
#include "market/answers.hpp"
#include "market/identity_store.hpp"
#include "market/secrets.hpp"
#include "market/tokens.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>
#include <soci/soci.h>

namespace pn::market {
namespace {

Error refused() {
  // Not which of the two: that would tell a guesser who exists.
  return {ErrorKind::unauthorized, "credentials", "these credentials are not known here"};
}

/// Tells a user's password from an earlier one, and nothing else of it.
std::string mark_of(const UserRow& user) { return sha256_hex(user.password_hash).substr(0, 16); }

}  // namespace

void AccountHandlers::add_routes(http::Router& router) {
  using http::Method;
  using http::ServerRequest;
  router.add(Method::post, "/user/login", [this](ServerRequest& r) {
    return answered(context_.logger, login(r));
  });
  router.add(Method::post, "/user/refresh", [this](ServerRequest& r) {
    return answered(context_.logger, refresh(r));
  });
  router.add(Method::post, "/service/domains-access-token", [this](ServerRequest& r) {
    return answered(context_.logger, access_token(r));
  });
}

http::ServerResponse AccountHandlers::user_tokens(const UserRow& user) {
  Tokens& tokens = context_.tokens;
  const MintedToken access = tokens.mint_account(
      TokenType::user_access, user.id, user.organization, context_.settings.grant_ttl);
  const MintedToken again =
      tokens.mint_refresh(user.id, user.organization, mark_of(user), context_.settings.refresh_ttl);
  return json_answer(200, Json{{"access_token", access.text}, {"refresh_token", again.text}});
}

Answer AccountHandlers::login(http::ServerRequest& request) {
  Result<Json> json = co_await read_json(request, kSmallBody);
  if (!json.ok()) co_return json.error();
  JsonFields fields(*json, "login");
  const std::string email = fields.need_string("email");
  const Secret<std::string> password(fields.need_string("password"));
  const auto done = fields.done();
  if (!done.ok()) co_return done.error();

  const std::function<Result<std::optional<UserRow>>(soci::session&)> work =
      [&](soci::session& s) -> Result<std::optional<UserRow>> {
    return find_user_by_email(s, email);
  };
  const auto user = co_await context_.database.read<std::optional<UserRow>>(work);
  if (!user.ok()) co_return user.error();
  // An unknown email costs the same time.
  const std::string hash = user->has_value() ? (*user)->password_hash : "scrypt$00$00";
  const Result<bool> right = co_await is_password(password, hash);
  if (!right.ok()) co_return right.error();
  if (!user->has_value() || !*right) {
    context_.logger.warn("login.refused");
    co_return refused();
  }
  co_return user_tokens(**user);
}

Awaitable<Result<bool>> AccountHandlers::is_password(const Secret<std::string>& given,
                                                     const std::string& hash) {
  constexpr int kWaiting = 8;
  if (hashing_ > kWaiting) {
    Error busy(ErrorKind::retry, "too_many_logins", "too many sign in at once; try again");
    busy.after = std::chrono::seconds(1);
    co_return busy;
  }
  struct Counted {
    int& count;
    explicit Counted(int& c) : count(c) { ++count; }
    ~Counted() { --count; }
    Counted(const Counted&) = delete;
    Counted& operator=(const Counted&) = delete;
  };
  const Counted counted(hashing_);
  const auto work = [&] { return matches_hash(given, hash); };
  const bool right = co_await offload(hasher_, work);
  co_return right;
}

Answer AccountHandlers::refresh(http::ServerRequest& request) {
  const std::string bearer = request.bearer().value_or("");
  const Result<TokenClaims> claims = context_.tokens.verify(bearer);
  if (!claims.ok() || claims->type != TokenType::user_refresh) {
    co_return claims.ok() ? refused() : claims.error();
  }
  const std::function<Result<std::optional<UserRow>>(soci::session&)> work =
      [&](soci::session& s) -> Result<std::optional<UserRow>> {
    return find_user(s, claims->subject);
  };
  const auto user = co_await context_.database.read<std::optional<UserRow>>(work);
  if (!user.ok()) co_return user.error();
  if (!user->has_value() || claims->credentials != mark_of(**user)) co_return refused();
  co_return user_tokens(**user);
}

Answer AccountHandlers::access_token(http::ServerRequest& request) {
  const std::string header(request.headers.find("authorization").value_or(""));
  Result<TokenClaims> account = account_of(context_.tokens, request);
  if (!request.bearer()) {
    account = co_await app_by_basic(header);
  }
  if (!account.ok()) co_return account.error();
  // Credentials open a door for so long; a token of them no longer than it says itself, or it could
  // be exchanged for ever, also once the credentials are others.
  std::chrono::seconds ttl = context_.settings.grant_ttl;
  if (request.bearer()) {
    const auto left = account->expires - context_.clock.system_now();
    ttl = std::min(ttl, std::chrono::floor<std::chrono::seconds>(left));
    if (ttl < std::chrono::seconds(1)) co_return refused();  // it would be over when it arrives
  }
  const MintedToken token =
      context_.tokens.mint_account(account->type, account->subject, account->organization, ttl);
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
