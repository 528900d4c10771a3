#include "base/awaitable.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "bin/commands.hpp"
#include "bin/environment.hpp"
#include "bin/exit_codes.hpp"
#include "bin/terminal.hpp"
#include "http/client.hpp"
#include "http/server.hpp"
#include "http/url.hpp"

#include <exception>
#include <memory>
#include <string>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

namespace pn::bin {
namespace {

/// Why the node is not alive; empty when it is.
Awaitable<void> ask(http::HttpClient& client, http::Request request, std::string& fault) {
  const Result<http::Response> answer = co_await client.send(std::move(request));
  if (!answer) {
    fault = answer.error().detail;
  } else if (answer->status != 200) {
    fault = "it answers " + std::to_string(answer->status);
  }
}

Result<http::Url> url_of_node(const Invocation& invocation) {
  const std::string setting =
      value_of(invocation.environment, "STATUS_ADDR").value_or("127.0.0.1:9464");
  const std::string name = "STATUS_ADDR=" + setting;
  const Result<http::ListenAddress> listen = http::parse_listen_address(setting);
  if (!listen || listen->port == 0) {
    return Error(ErrorKind::rejected, "setting", name + ": must be host:port");
  }
  Result<http::Url> url = http::Url::parse(http::local_url(*listen, listen->port) + "/livez");
  if (!url) return within(name, std::move(url).error());
  return url;
}

}  // namespace

int healthcheck_command(const Invocation& invocation, const std::string& asked) {
  Result<http::Url> url = asked.empty() ? url_of_node(invocation) : http::Url::parse(asked);
  if (!url) {
    complain(asked.empty() ? url.error() : within("--url", url.error()));
    return kExitConfiguration;
  }

  asio::io_context loop(1);
  http::ClientOptions options;
  options.allow_plain_http = true;  // it is this machine's own address, and nothing secret is sent
  options.no_proxy = "*";
  Result<std::unique_ptr<http::HttpClient>> client =
      http::make_http_client(loop.get_executor(), options);
  if (!client) {
    complain(client.error());
    return kExitInternal;
  }
  const std::string where = url->origin();
  http::Request request(std::move(*url));
  request.timeout = Millis(3000);
  std::string fault;
  const auto ended = [](const std::exception_ptr& failed) {
    if (failed) std::rethrow_exception(failed);
  };
  asio::co_spawn(loop, ask(**client, std::move(request), fault), ended);
  loop.run();
  if (!fault.empty()) {
    complain((asked.empty() ? "the node" : "what is") + (" at " + where) +
             " is not alive: " + fault);
    return kExitInternal;
  }
  print(invocation.json ? "{\"live\":true}\n" : "live\n");
  return kExitOk;
}

}  // namespace pn::bin
