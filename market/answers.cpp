#include "market/answers.hpp"

#include "base/awaitable.hpp"
#include "base/json.hpp"
#include "base/log.hpp"
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

constexpr std::string_view kBusy = "database_busy";
constexpr std::uint64_t kBodyLimit = std::uint64_t{2} * 1024 * 1024;

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
    std::pair{std::string_view("too_many_logins"), 429},
    std::pair{std::string_view("not_implemented"), 501},
    // Kinds that tell the market's own code what to do; to a client they are all our fault. A node
    // throws work away on a 4xx, and keeps it on a 5xx.
    std::pair{std::string_view("database_constraint"), 500},
    std::pair{std::string_view("database_corrupt"), 500},
    std::pair{std::string_view("database_unwritable"), 500},
    std::pair{std::string_view("file_denied"), 500},
    std::pair{std::string_view("file_missing"), 500},
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

/// What a client hears of a fault of the host's.
std::string told(int status) {
  switch (status) {
    case 507:
      return "the market's disk is full";
    case 503:
      return "the market's database is busy; try again";
    default:
      return "the market failed; its log says why";
  }
}

}  // namespace

Awaitable<http::ServerResponse> answered(const log::Logger& logger, Answer answer) {
  Result<http::ServerResponse> response = co_await std::move(answer);
  if (response.ok()) co_return std::move(*response);
  if (is_host_fault(response.error())) {
    logger.error("request.failed", {log::field(response.error())});
  }
  co_return error_answer(response.error());
}

bool is_host_fault(const Error& error) {
  const int status = status_of(error);
  return status == 500 || status == 507 || error.code == kBusy;
}

http::ServerResponse error_answer(const Error& error) {
  const int status = status_of(error);
  http::ServerResponse response =
      http::error_response(status, error.code, is_host_fault(error) ? told(status) : error.detail);
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
      501, "not_implemented", "this market does not offer yet: " + std::string(what));
}

Awaitable<Result<Json>> read_json(http::ServerRequest& request) {
  return read_json(request, kBodyLimit);
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
