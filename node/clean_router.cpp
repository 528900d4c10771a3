#include "node/clean_router.hpp"

#include "base/awaitable.hpp"
#include "base/json.hpp"
#include "base/log.hpp"
#include "base/redacted_json.hpp"
#include "base/redactor.hpp"
#include "base/result.hpp"
#include "http/server.hpp"
#include "http/types.hpp"

#include <string>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

namespace pn::node {
namespace {

using http::ServerRequest;
using http::ServerResponse;

void clean(ServerResponse& response, const Redactor& redactor) {
  const std::string type = http::media_type(response.headers.find("content-type").value_or(""));
  if (type == "text/html" || response.body.empty()) return;
  Result<Json> json = type == "application/json"
                          ? parse_json(response.body)
                          : Result<Json>(Error(ErrorKind::corrupt, "no_json", "another type"));
  if (json) {
    redact(*json, redactor, Redactor::Hex::key);
    response.body = dump_json(*json);
  } else {
    redactor.apply(response.body);
  }
}

struct Cleaned {
  log::Logger logger;
  http::Handler handler;

  Awaitable<ServerResponse> operator()(ServerRequest& request) const {
    return answer(logger, handler, request);
  }
  /// Both live as long as the server.
  static Awaitable<ServerResponse> answer(const log::Logger& logger,
                                          const http::Handler& handler,
                                          ServerRequest& request) {
    ServerResponse response = co_await handler(request);
    clean(response, logger.redactor());
    co_return response;
  }
};

}  // namespace

CleanRouter::CleanRouter(log::Logger logger) : logger_(std::move(logger)) {}

void CleanRouter::add(http::Method method, std::string_view pattern, http::Handler handler) {
  router_.add(method, pattern, Cleaned{.logger = logger_, .handler = std::move(handler)});
}

}  // namespace pn::node
