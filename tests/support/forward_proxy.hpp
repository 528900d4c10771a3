#pragma once

#include "base/awaitable.hpp"
#include "base/encoding.hpp"
#include "tests/support/private_ca.hpp"
#include "tests/support/relay.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>

namespace pn::testing {

/// A forward proxy on a loopback port that wants a user and a password: CONNECT for https, absolute
/// URLs for http. Names lead to the loopback ports of route(), so that hosts which no resolver
/// knows can be reached by it and in no other way. Thread: one loop's.
class ForwardProxy final {
 public:
  struct Seen {
    std::string method;
    std::string target;  ///< "dms.test:443", "http://domain.test/x"
    std::string head;
    bool let_in = false;
  };

  /// Under TLS itself where it has an identity.
  ForwardProxy(asio::io_context& context,
               const std::string& user_and_password,
               const ServerIdentity* identity = nullptr)
      : state_(std::make_shared<State>()),
        listener_(context, identity, [state = state_](RelayStreamPtr client) {
          return serve(state, std::move(client));
        }) {
    state_->credentials = "Proxy-Authorization: Basic " + to_base64(user_and_password) + "\r\n";
  }

  [[nodiscard]] std::uint16_t port() const { return listener_.port(); }
  /// "host:port" leads to a port of this machine's.
  void route(const std::string& to, std::uint16_t port) { state_->routes[to] = port; }
  /// All that it was asked, in order.
  [[nodiscard]] const std::vector<Seen>& seen() const { return state_->seen; }
  [[nodiscard]] std::size_t count(std::string_view method, std::string_view target) const {
    return static_cast<std::size_t>(std::ranges::count_if(seen(), [&](const Seen& one) {
      return one.method == method && one.target.starts_with(target);
    }));
  }

 private:
  struct State {  // shared with the connections that outlive us
    std::string credentials;
    std::map<std::string, std::uint16_t> routes;
    std::vector<Seen> seen;
  };

  static Awaitable<void> serve(std::shared_ptr<State> state, RelayStreamPtr client) {
    const std::string head = co_await client->read_head();
    const std::size_t space = head.find(' ');
    Seen one{.method = head.substr(0, space),
             .target = head.substr(space + 1, head.find(' ', space + 1) - space - 1),
             .head = head,
             .let_in = head.find(state->credentials) != std::string::npos};
    state->seen.push_back(one);
    if (!one.let_in) {
      co_await say(client, "407 Who are you\r\nProxy-Authenticate: Basic realm=\"test\"");
      co_return;
    }
    const bool tunnel = one.method == "CONNECT";
    const std::size_t path = tunnel ? one.target.size() : one.target.find('/', kScheme.size());
    std::string to = tunnel ? one.target : one.target.substr(kScheme.size(), path - kScheme.size());
    if (to.find(':') == std::string::npos) to += ":80";
    const auto route = state->routes.find(to);
    if (route == state->routes.end()) {
      co_await say(client, "502 No such host");
      co_return;
    }
    std::string first;
    if (tunnel) {
      const std::string yes = "HTTP/1.1 200 Connected\r\n\r\n";
      co_await client->write(asio::buffer(yes));
    } else {
      // One exchange a connection: the next request may be to another host.
      std::string fields = head.substr(head.find("\r\n") + 2);
      fields.erase(fields.find(state->credentials), state->credentials.size());
      first = one.method + " " + one.target.substr(path) + " HTTP/1.1\r\nConnection: close\r\n" +
              fields;
    }
    co_await RelayListener::relay(client, route->second, first);
  }

  static Awaitable<void> say(RelayStreamPtr client, std::string status) {
    const std::string answer =
        "HTTP/1.1 " + status + "\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    co_await client->write(asio::buffer(answer));
  }

  static constexpr std::string_view kScheme = "http://";
  std::shared_ptr<State> state_;
  RelayListener listener_;
};

}  // namespace pn::testing
