#include "bin/node_control.hpp"

#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/file.hpp"
#include "base/json.hpp"
#include "base/result.hpp"
#include "base/system_clock.hpp"
#include "base/time.hpp"
#include "bin/commands.hpp"
#include "bin/environment.hpp"
#include "bin/exit_codes.hpp"
#include "bin/log_setup.hpp"
#include "bin/terminal.hpp"
#include "http/client.hpp"
#include "http/types.hpp"
#include "http/unix_socket.hpp"
#include "http/url.hpp"
#include "node/control_server.hpp"
#include "node/state_dir.hpp"

#include <cerrno>
#include <exception>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <nlohmann/json.hpp>
#include <unistd.h>

namespace pn::bin {

namespace fs = std::filesystem;

namespace {

constexpr Millis kPatience{10'000};

Error no_node(const fs::path& state_dir) {
  return {ErrorKind::not_found,
          "no_node",
          "no node runs with STATE_DIR=" + state_dir.string() +
              "; start it, or name its folder with --state-dir or --env-file"};
}

/// Why nobody answered: there is a socket, and it is not for us.
std::optional<Error> denied(const http::UnixPath& path) {
  if (::access(path.str().c_str(), W_OK) == 0 || errno != EACCES) return std::nullopt;
  return Error(ErrorKind::internal,
               "file_denied",
               "the node answers to its own user and root alone; try it with sudo");
}

/// Why nobody answered: a node is there, and no socket to ask it by.
std::optional<Error> no_socket(const fs::path& state_dir) {
  if (!node::is_locked(state_dir).value_or(false)) return std::nullopt;
  // What the node found when it started, we find too.
  const fs::path probe = state_dir / (".control-" + std::to_string(::getpid()));
  const Result<UniqueFd> made = http::listen_unix(probe);
  ::unlink(probe.c_str());
  const std::string why =
      made ? "it has no control socket (it is starting or ending, or its log says "
             "control.unavailable)"
           : made.error().detail + "; STATE_DIR must be on a disk that takes Unix sockets for that";
  return Error(ErrorKind::rejected,
               "no_control_socket",
               "a node runs with STATE_DIR=" + state_dir.string() + " and cannot be asked: " + why +
                   "; its status page and signals go on");
}

http::Request request_for(http::Method method, std::string_view name) {
  // The host is never looked up: the socket is where it goes.
  http::Request request(method, http::Url::parse("http://localhost/").value().with_path(name));
  request.timeout = kPatience;
  return request;
}

}  // namespace

NodeControl::NodeControl(fs::path state_dir,
                         http::UnixPath path,
                         std::unique_ptr<http::HttpClient> client)
    : state_dir_(std::move(state_dir)), path_(std::move(path)), client_(std::move(client)) {}

Result<std::unique_ptr<NodeControl>> NodeControl::open(Executor executor,
                                                       const fs::path& state_dir) {
  Result<http::UnixPath> path = http::UnixPath::of(node::control_socket(state_dir));
  if (!path && path.error().kind == ErrorKind::not_found) return no_node(state_dir);
  if (!path) return std::move(path).error();
  http::ClientOptions options;
  options.unix_socket = path->str();
  Result<std::unique_ptr<http::HttpClient>> client =
      http::make_http_client(std::move(executor), std::move(options));
  if (!client) return std::move(client).error();
  return std::unique_ptr<NodeControl>(
      new NodeControl(state_dir, *std::move(path), *std::move(client)));
}

Awaitable<Result<Json>> NodeControl::status() {
  Result<Json> answer = co_await ask(request_for(http::Method::get, "/status"));
  co_return answer;
}

Awaitable<Result<Json>> NodeControl::order(std::string name, std::string body) {
  http::Request request = request_for(http::Method::post, "/" + name);
  request.headers.set("content-type", "application/json");
  request.body = std::move(body);
  Result<Json> answer = co_await ask(std::move(request));
  co_return answer;
}

Error NodeControl::why_silent() const {
  if (std::optional<Error> not_for_us = denied(path_)) return *std::move(not_for_us);
  if (std::optional<Error> deaf = no_socket(state_dir_)) return *std::move(deaf);
  return no_node(state_dir_);
}

Awaitable<Result<Json>> NodeControl::ask(http::Request request) {
  const Result<http::Response> answer = co_await client_->send(std::move(request));
  if (!answer && answer.error().code == "curl_connect") {
    co_return why_silent();
  }
  if (!answer) co_return within("the node", answer.error());
  if (answer->status != 200) co_return within("the node", http::from_http_status(*answer));
  Result<Json> json = parse_json(answer->body);
  if (!json) co_return within("the node", std::move(json).error());
  co_return json;
}

fs::path state_dir_of(const Environment& environment, const fs::path& given) {
  if (!given.empty()) return given;
  if (const auto set = value_of(environment, "STATE_DIR")) return *set;
  const fs::path home = default_folder(environment, "");
  return home.has_filename() ? home : home.parent_path();
}

int run_control(Invocation& invocation,
                const fs::path& state_dir,
                const std::function<Awaitable<int>(NodeControl&, Clock&)>& command) {
  if (!load_environment(invocation)) return kExitConfiguration;
  const fs::path folder = state_dir_of(invocation.environment, state_dir);
  if (folder.empty()) {
    complain("which node is meant? Name its folder with --state-dir or STATE_DIR");
    return kExitConfiguration;
  }
  asio::io_context loop(1);
  SystemClock clock;
  Result<std::unique_ptr<NodeControl>> control = NodeControl::open(loop.get_executor(), folder);
  if (!control) return failed(control.error());
  int code = kExitInternal;
  std::exception_ptr failure;
  asio::co_spawn(
      loop, command(**control, clock), [&](const std::exception_ptr& thrown, int answered) {
        failure = thrown;
        code = answered;
      });
  loop.run();
  if (failure) std::rethrow_exception(failure);
  return code;
}

}  // namespace pn::bin
