#pragma once

#include "base/awaitable.hpp"
#include "http/url.hpp"
#include "tests/support/test_loop.hpp"

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/system/system_error.hpp>

namespace pn::testing {

using Tcp = boost::asio::ip::tcp;

/// One accepted connection, spoken to in bytes: what an HTTP library would not let us send is the
/// point.
class ScriptedConnection {
 public:
  explicit ScriptedConnection(Tcp::socket socket) : socket_(std::move(socket)) {
    socket_.set_option(Tcp::no_delay(true));
  }

  Awaitable<void> write(std::string bytes) {
    co_await asio::async_write(socket_, asio::buffer(bytes), asio::use_awaitable);
  }
  /// Whatever is there, at most `most` bytes; throws at the end.
  Awaitable<std::string> read_some(std::size_t most) {
    std::string out(most, '\0');
    if (!held_.empty()) {
      out = held_.substr(0, most);
      held_.erase(0, out.size());
      co_return out;
    }
    out.resize(co_await socket_.async_read_some(asio::buffer(out), asio::use_awaitable));
    co_return out;
  }
  Awaitable<std::string> read_until(std::string end) {
    std::string out;
    for (;;) {
      const std::string more = co_await read_some(64 * 1024);
      out += more;
      const std::size_t at = out.find(end);
      if (at == std::string::npos) continue;
      held_.insert(0, out.substr(at + end.size()));
      out.resize(at + end.size());
      co_return out;
    }
  }
  Awaitable<std::string> read_head() { return read_until("\r\n\r\n"); }
  Awaitable<std::string> read_exactly(std::size_t count) {
    std::string out;
    while (out.size() < count) {
      const std::string more = co_await read_some(count - out.size());
      out += more;
    }
    co_return out;
  }
  Awaitable<void> pause(std::chrono::milliseconds time) {
    asio::steady_timer timer(socket_.get_executor(), time);
    co_await timer.async_wait(asio::use_awaitable);
  }
  /// Until the peer closes; everything it still sends is dropped.
  Awaitable<void> until_closed() {
    try {
      for (;;) {
        const std::string dropped = co_await read_some(64 * 1024);
      }
    } catch (const boost::system::system_error&) {
    }
  }
  Tcp::socket& socket() { return socket_; }

 private:
  Tcp::socket socket_;
  std::string held_;
};

/// A loopback server whose every connection runs a script; the connection closes at its end.
class ScriptedServer {
 public:
  using Script = std::function<Awaitable<void>(ScriptedConnection&, int number)>;

  ScriptedServer(TestLoop& loop, Script script)
      : state_(std::make_shared<State>(loop.context, std::move(script))) {
    asio::co_spawn(loop.context, accept(state_), asio::detached);
  }
  ~ScriptedServer() { close(); }
  ScriptedServer(const ScriptedServer&) = delete;
  ScriptedServer& operator=(const ScriptedServer&) = delete;

  [[nodiscard]] unsigned short port() const { return state_->port; }
  [[nodiscard]] int connections() const { return state_->connections; }
  [[nodiscard]] http::Url url(std::string_view path) const {
    return *http::Url::parse("http://127.0.0.1:" + std::to_string(port()) + std::string(path));
  }
  void close() { state_->acceptor.close(); }

 private:
  struct State {
    State(asio::io_context& context, Script s)
        : acceptor(context, Tcp::endpoint(asio::ip::address_v4::loopback(), 0)),
          port(acceptor.local_endpoint().port()),
          script(std::move(s)) {}
    Tcp::acceptor acceptor;
    unsigned short port;
    Script script;
    int connections = 0;
  };

  static Awaitable<void> accept(std::shared_ptr<State> state) {
    try {
      for (;;) {
        Tcp::socket socket = co_await state->acceptor.async_accept(asio::use_awaitable);
        const int number = ++state->connections;
        asio::co_spawn(
            state->acceptor.get_executor(),
            serve(state, std::make_shared<ScriptedConnection>(std::move(socket)), number),
            asio::detached);
      }
    } catch (const boost::system::system_error&) {  // closed
    }
  }
  static Awaitable<void> serve(std::shared_ptr<State> state,
                               std::shared_ptr<ScriptedConnection> connection,
                               int number) {
    try {
      co_await state->script(*connection, number);
    } catch (const boost::system::system_error&) {  // the client went
    }
  }

  std::shared_ptr<State> state_;
};

/// "HTTP/1.1 200 OK" with a Content-Length.
inline std::string http_answer(int status, std::string_view body, std::string_view headers = "") {
  return "HTTP/1.1 " + std::to_string(status) + " X\r\n" + std::string(headers) +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
}

}  // namespace pn::testing
