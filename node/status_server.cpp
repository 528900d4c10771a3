#include "node/status_server.hpp"

#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/digest.hpp"
#include "base/encoding.hpp"
#include "base/log.hpp"
#include "base/result.hpp"
#include "http/server.hpp"
#include "http/types.hpp"
#include "node/clean_router.hpp"
#include "node/node_status.hpp"
#include "node/status_json.hpp"
#include "node/status_page.hpp"

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pn::node {
namespace {

using http::ServerRequest;
using http::ServerResponse;

constexpr std::string_view kMetricsType = "text/plain; version=0.0.4; charset=utf-8";

/// "'sha256-...'" of what stands between <tag> and </tag>: a policy that allows just that.
std::string allowed_inline(std::string_view page, std::string_view tag) {
  const std::string open = "<" + std::string(tag) + ">";
  const std::string close = "</" + std::string(tag) + ">";
  const std::size_t from = page.find(open);
  const std::size_t to = page.find(close);
  if (from == std::string_view::npos || to == std::string_view::npos) return "'none'";
  const std::size_t begin = from + open.size();
  const Sha256Digest digest = sha256(page.substr(begin, to - begin));
  return "'sha256-" + to_base64({reinterpret_cast<const char*>(digest.data()), digest.size()}) +
         "'";
}

std::string page_policy() {
  const std::string_view page = status_page();
  return "default-src 'none'; connect-src 'self'; img-src data:; style-src " +
         allowed_inline(page, "style") + "; script-src " + allowed_inline(page, "script") +
         "; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
}

void protect(ServerResponse& response, std::string_view policy) {
  response.headers.set("Content-Security-Policy", policy);
  response.headers.set("X-Content-Type-Options", "nosniff");
  response.headers.set("X-Frame-Options", "DENY");
  response.headers.set("Cross-Origin-Resource-Policy", "same-origin");
  response.headers.set("Referrer-Policy", "no-referrer");
  response.headers.set("Cache-Control", "no-store");
}

using Answer = std::function<ServerResponse()>;

/// What each path has in common; none of them waits.
struct Guarded {
  bool loopback;
  std::string policy;
  Answer answer;

  Awaitable<ServerResponse> operator()(ServerRequest& request) const {
    return serve(request, loopback, policy, answer);
  }
  static Awaitable<ServerResponse> serve(ServerRequest& request,
                                         bool loopback,
                                         std::string policy,
                                         Answer answer) {
    ServerResponse response =
        may_answer(request.headers, loopback)
            ? answer()
            : http::error_response(403,
                                   "foreign_site",
                                   "this node answers to its address or localhost alone, and to "
                                   "no other site's scripts; use http://127.0.0.1 and the port");
    protect(response, policy);
    co_return response;
  }
};

std::string_view host_of(std::string_view authority) {
  if (authority.starts_with('[')) return authority.substr(0, authority.find(']') + 1);
  return authority.substr(0, authority.find(':'));
}

bool is_address(std::string_view host) {
  if (host.starts_with('[')) return true;
  return !host.empty() && std::all_of(host.begin(), host.end(), [](unsigned char c) {
    return std::isdigit(c) != 0 || c == '.';
  });
}

bool is_loopback(std::string_view address) {
  return address == "::1" || address.starts_with("127.");
}

}  // namespace

bool may_answer(const http::Headers& headers, bool loopback) {
  const std::string_view authority = headers.find("host").value_or("");
  const std::string_view host = host_of(authority);
  const bool local = host == "localhost" || host.ends_with(".localhost");
  if (loopback && !local && !is_address(host)) return false;
  const std::optional<std::string_view> origin = headers.find("origin");
  if (!origin) return true;
  return *origin == "http://" + std::string(authority) ||
         *origin == "https://" + std::string(authority);
}

Result<std::unique_ptr<http::Server>> make_status_server(Executor control,
                                                         Clock& clock,
                                                         log::Logger logger,
                                                         const http::ListenAddress& address,
                                                         const StatusSource& source) {
  CleanRouter router(logger);
  const bool loopback = is_loopback(address.address);
  const auto serve = [&](std::string_view path, Answer answer, const std::string& policy) {
    router.add(http::Method::get,
               path,
               Guarded{.loopback = loopback, .policy = policy, .answer = std::move(answer)});
  };
  const std::string nothing = "default-src 'none'; frame-ancestors 'none'";
  serve("/livez", [] { return ServerResponse::text(200, "ok\n"); }, nothing);
  const auto readyz = [status = source.status] {
    const std::vector<Check> checks = status().checks;
    return ServerResponse::json(ready(checks) ? 200 : 503, readiness_json(checks));
  };
  serve("/readyz", readyz, nothing);
  const auto json = [status = source.status] {
    return ServerResponse::json(200, status_json(status()));
  };
  serve("/status.json", json, nothing);
  const auto metrics = [text = source.metrics] {
    return ServerResponse::text(200, text(), kMetricsType);
  };
  serve("/metrics", metrics, nothing);
  const auto page = [] {
    return ServerResponse::text(200, std::string(status_page()), "text/html; charset=utf-8");
  };
  serve("/", page, page_policy());

  http::ServerOptions options;
  options.address = address.address;
  options.port = address.port;
  options.max_connections = 64;
  Result<std::unique_ptr<http::Server>> server = http::Server::listen(
      std::move(control), clock, std::move(logger), std::move(options), std::move(router).take());
  if (!server) return within("STATUS_ADDR", std::move(server).error());
  return server;
}

}  // namespace pn::node
