#pragma once

#include "base/result.hpp"
#include "http/server.hpp"
#include "market/tokens.hpp"

namespace pn::market {

// Who asks, by the bearer token of a request. Kind `unauthorized` without a valid token or with one
// of another kind.

/// A user or an app: a token of /user/login or /service/domains-access-token.
Result<TokenClaims> account_of(Tokens& tokens, const http::ServerRequest& request);

/// A compute node.
Result<TokenClaims> node_of(Tokens& tokens, const http::ServerRequest& request);

/// A client that may submit jobs to a domain: a grant with domain:rw or domain-data:rw. A task's
/// token is none.
Result<TokenClaims> submitter_of(Tokens& tokens, const http::ServerRequest& request);

}  // namespace pn::market
