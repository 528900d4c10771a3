#include "market/answers.hpp"

#include "base/awaitable.hpp"
#include "base/json.hpp"
#include "base/result.hpp"
#include "http/server.hpp"

#include <array>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

namespace pn::market {
namespace {

constexpr std::array kStatusOfCode{
    std::pair{std::string_view("forbidden"), 403},
    std::pair{std::string_view("node_unknown"), 403},
    std::pair{std::string_view("registration_refused"), 403},
    std::pair{std::string_view("no_credits"), 402},
    std::pair{std::string_view("conflict"), 409},
    std::pair{std::string_view("name_taken"), 409},
    std::pair{std::string_view("lease_lost"), 409},
    std::pair{std::string_view("task_canceled"), 409},
    std::pair{std::string_view("task_ended"), 409},
    std::pair{std::string_view("idempotency_conflict"), 409},
    std::pair{std::string_view("body_too_large"), 413},
    std::pair{std::string_view("not_implemented"), 501},
};

int status_of(const Error& error) {
  for (const auto& [code, status] : kStatusOfCode) {
    if (error.code == code) return status;
  }
  switch (error.kind) {
    case ErrorKind::unauthorized:
      return 401;
    case ErrorKind::not_found:
      return 404;
    case ErrorKind::rejected:
    case ErrorKind::corrupt:
      return 400;
    case ErrorKind::restart:
      return 409;
    case ErrorKind::full:
      return 507;
    case ErrorKind::retry:
      return 503;
    case ErrorKind::internal:
      return 500;
  }
  return 500;
}

}  // namespace

http::ServerResponse error_answer(const Error& error) {
  const int status = status_of(error);
  http::ServerResponse response = http::error_response(
      status,
      error.code,
      status == 500 ? std::string("the market failed; see its log") : error.detail);
  if (error.after) {
    const auto seconds = std::chrono::ceil<std::chrono::seconds>(*error.after);
    response.headers.set("Retry-After", std::to_string(seconds.count()));
  } else if (status == 503) {
    response.headers.set("Retry-After", "1");
  }
  if (status == 401) response.headers.set("WWW-Authenticate", "Bearer");
  return response;
}

http::ServerResponse json_answer(int status, const Json& json) {
  return http::ServerResponse::json(status, dump_json(json));
}

http::ServerResponse not_implemented_answer(std::string_view what) {
  return http::error_response(
      501, "not_implemented", "this market does not offer " + std::string(what));
}

Awaitable<Result<Json>> read_json(http::ServerRequest& request, std::uint64_t limit) {
  Result<std::string> text = co_await http::read_body(request, limit);
  if (!text.ok()) co_return std::move(text).error();
  if (text->empty()) co_return Json::object();
  Result<Json> json = parse_json(*text);
  if (!json.ok()) co_return std::move(json).error();
  if (!json->is_object()) {
    co_return Error(ErrorKind::rejected, "json_syntax", "the body must be a JSON object");
  }
  co_return json;
}

}  // namespace pn::market
