#pragma once

#include "base/awaitable.hpp"
#include "base/json.hpp"
#include "base/log.hpp"
#include "base/result.hpp"
#include "http/server.hpp"

#include <cstdint>
#include <string_view>

namespace pn::market {

// How the market's handlers answer, in one place.

/// What a handler comes to; answered() makes the response of it.
using Answer = Awaitable<Result<http::ServerResponse>>;

/// The response of a handler's answer, an Error's included. What only the host can mend becomes an
/// event with its cause, once.
Awaitable<http::ServerResponse> answered(const log::Logger& logger, Answer answer);

/// Whether it is the host's to mend (its disk, its database, a bug of ours) and not the client's,
/// whatever its kind says to the code that met it.
[[nodiscard]] bool is_host_fault(const Error& error);

/// The error body with the status of the error's kind, or of its code where the wire has a finer
/// one ("forbidden" 403, "lease_lost" 409, ...). Of a fault of the host's the client is told the
/// code and no more: details hold SQL and paths.
http::ServerResponse error_answer(const Error& error);

http::ServerResponse json_answer(int status, const Json& json);

/// 501, for what the protocol has and this market leaves out.
http::ServerResponse not_implemented_answer(std::string_view what);

/// The most that is read of somebody who has shown nothing yet: it costs us to parse.
constexpr std::uint64_t kSmallBody = std::uint64_t{16} * 1024;
/// A job of ten thousand tasks with their inputs, a receipt with as many artifacts.
constexpr std::uint64_t kLargeBody = std::uint64_t{16} * 1024 * 1024;

/// The JSON object of a request's body of at most 2 MiB, the wire's limit; an absent body is an
/// empty object. Kind `rejected`: too large, no JSON, no object.
Awaitable<Result<Json>> read_json(http::ServerRequest& request);
Awaitable<Result<Json>> read_json(http::ServerRequest& request, std::uint64_t limit);

}  // namespace pn::market
