#include "node/control_server.hpp"

#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/json.hpp"
#include "base/log.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "http/server.hpp"
#include "http/types.hpp"
#include "node/clean_router.hpp"
#include "node/status_json.hpp"

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <nlohmann/json.hpp>

namespace pn::node {
namespace {

using http::ServerRequest;
using http::ServerResponse;

constexpr std::uint64_t kBodyLimit = 4096;
constexpr std::int64_t kLongestPauseSecs = std::int64_t{366} * 24 * 3600;

ServerResponse shown(NodeOrders& orders) {
  return ServerResponse::json(200, status_json(orders.status()));
}

ServerResponse answered(NodeOrders& orders, const Result<void>& kept) {
  if (kept) return shown(orders);
  return http::error_response(
      500, "not_kept", "done, but a restarted node will not know: " + kept.error().detail);
}

Result<std::optional<std::int64_t>> pause_length(const std::string& body) {
  if (body.empty()) return std::optional<std::int64_t>();
  const Result<Json> json = parse_json(body);
  if (!json) return json.error();
  JsonFields fields(*json, "pause");
  fields.only({"for_secs"});
  const std::optional<std::int64_t> secs = fields.integer("for_secs");
  if (secs && (*secs < 1 || *secs > kLongestPauseSecs)) {
    fields.fault("for_secs", "must be from 1 to " + std::to_string(kLongestPauseSecs));
  }
  const Result<void> read = fields.done();
  if (!read) return read.error();
  return secs;
}

Awaitable<ServerResponse> status(NodeOrders& orders) { co_return shown(orders); }

Awaitable<ServerResponse> drain(NodeOrders& orders) {
  orders.drain();
  co_return shown(orders);
}

Awaitable<ServerResponse> pause(NodeOrders& orders, Clock& clock, ServerRequest& request) {
  const Result<std::string> body = co_await http::read_body(request, kBodyLimit);
  if (!body) co_return http::error_response(400, body.error().code, body.error().detail);
  const Result<std::optional<std::int64_t>> secs = pause_length(*body);
  if (!secs) co_return http::error_response(400, secs.error().code, secs.error().detail);
  std::optional<SystemTime> until;
  if (*secs) until = clock.system_now() + std::chrono::seconds(**secs);
  const Result<void> kept = co_await orders.pause(until);
  co_return answered(orders, kept);
}

Awaitable<ServerResponse> resume(NodeOrders& orders) {
  const Result<void> kept = co_await orders.resume();
  co_return answered(orders, kept);
}

}  // namespace

std::filesystem::path control_socket(const std::filesystem::path& state_dir) {
  return state_dir / "control.sock";
}

Result<std::unique_ptr<http::Server>> make_control_server(Executor control,
                                                          Clock& clock,
                                                          log::Logger logger,
                                                          const std::filesystem::path& state_dir,
                                                          NodeOrders& orders) {
  CleanRouter router(logger);
  router.add(http::Method::get, "/status", [&orders](ServerRequest&) { return status(orders); });
  router.add(http::Method::post, "/drain", [&orders](ServerRequest&) { return drain(orders); });
  router.add(http::Method::post, "/pause", [&orders, &clock](ServerRequest& request) {
    return pause(orders, clock, request);
  });
  router.add(http::Method::post, "/resume", [&orders](ServerRequest&) { return resume(orders); });
  http::ServerOptions options;
  options.unix_socket = control_socket(state_dir);
  options.max_connections = 16;
  Result<std::unique_ptr<http::Server>> server = http::Server::listen(
      std::move(control), clock, std::move(logger), std::move(options), std::move(router).take());
  if (!server) return within("STATE_DIR", std::move(server).error());
  return server;
}

}  // namespace pn::node
