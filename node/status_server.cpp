#include "node/status_server.hpp"

#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/json.hpp"
#include "base/log.hpp"
#include "base/result.hpp"
#include "http/server.hpp"
#include "http/types.hpp"

#include <algorithm>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

namespace pn::node {
namespace {

Awaitable<http::ServerResponse> live(http::ServerRequest&) {
  co_return http::ServerResponse::text(200, "ok\n");
}

Awaitable<http::ServerResponse> ready(std::vector<Check> checks) {
  const bool all =
      std::all_of(checks.begin(), checks.end(), [](const Check& check) { return check.ok; });
  co_return http::ServerResponse::json(all ? 200 : 503, readiness_json(checks));
}

}  // namespace

std::string readiness_json(const std::vector<Check>& checks) {
  Json list = Json::array();
  bool all = true;
  for (const Check& check : checks) {
    list.push_back({{"name", check.name}, {"ok", check.ok}, {"detail", check.detail}});
    all = all && check.ok;
  }
  Json body{{"ready", all}, {"checks", std::move(list)}};
  return dump_json(body);
}

Result<std::unique_ptr<http::Server>> make_status_server(
    Executor control,
    Clock& clock,
    log::Logger logger,
    const http::ListenAddress& address,
    std::function<std::vector<Check>()> checks) {
  http::Router router;
  router.add(http::Method::get, "/livez", live);
  router.add(http::Method::get, "/readyz", [checks = std::move(checks)](http::ServerRequest&) {
    return ready(checks());
  });
  http::ServerOptions options;
  options.address = address.address;
  options.port = address.port;
  options.max_connections = 64;
  Result<std::unique_ptr<http::Server>> server = http::Server::listen(
      std::move(control), clock, std::move(logger), std::move(options), std::move(router));
  if (!server) return within("STATUS_ADDR", std::move(server).error());
  return server;
}

}  // namespace pn::node
