#pragma once

#include "base/json.hpp"
#include "base/result.hpp"
#include "http/server.hpp"

#include <cstdint>

namespace pn::market {

// How the market's handlers answer, in one place.

/// The error body with the status of the error's kind, or of its code where the wire has a finer
/// one
/// ("forbidden" 403, "lease_lost" 409, ...). Kind `internal` tells the client nothing but its code.
http::ServerResponse error_answer(const Error& error);

http::ServerResponse json_answer(int status, const Json& json);

/// 501, for what the protocol has and this market leaves out.
http::ServerResponse not_implemented_answer(std::string_view what);

/// The JSON object of a request's body; an absent body is an empty object. Kind `rejected`: too
/// large, no JSON, no object.
Awaitable<Result<Json>> read_json(http::ServerRequest& request,
                                  std::uint64_t limit = std::uint64_t{2} * 1024 * 1024);

}  // namespace pn::market
