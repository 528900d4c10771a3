#pragma once

#include "base/awaitable.hpp"
#include "tests/support/private_ca.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/system/error_code.hpp>
#include <boost/system/system_error.hpp>

namespace pn::testing {

/// An accepted connection, plain or under TLS.
class RelayStream final {
 public:
  using Tcp = boost::asio::ip::tcp;

  RelayStream(Tcp::socket socket, boost::asio::ssl::context* tls) : socket_(std::move(socket)) {
    if (tls != nullptr) tls_.emplace(socket_, *tls);
  }

  Awaitable<void> handshake() {
    if (!tls_) co_return;
    co_await tls_->async_handshake(boost::asio::ssl::stream_base::server, asio::use_awaitable);
  }
  Awaitable<std::size_t> read_some(asio::mutable_buffer into) {
    std::size_t got = 0;
    if (tls_) {
      got = co_await tls_->async_read_some(into, asio::use_awaitable);
    } else {
      got = co_await socket_.async_read_some(into, asio::use_awaitable);
    }
    co_return got;
  }
  Awaitable<void> write(asio::const_buffer bytes) {
    if (tls_) {
      co_await asio::async_write(*tls_, bytes, asio::use_awaitable);
    } else {
      co_await asio::async_write(socket_, bytes, asio::use_awaitable);
    }
  }
  /// Up to and with the empty line.
  Awaitable<std::string> read_head() {
    std::string out;
    while (!out.ends_with("\r\n\r\n")) {
      char c = 0;
      const std::size_t got = co_await read_some(asio::buffer(&c, 1));
      out.append(&c, got);
    }
    co_return out;
  }
  void close() {
    boost::system::error_code ignored;
    socket_.close(ignored);
  }
  Tcp::socket& socket() { return socket_; }

 private:
  Tcp::socket socket_;
  std::optional<boost::asio::ssl::stream<Tcp::socket&>> tls_;
};

using RelayStreamPtr = std::shared_ptr<RelayStream>;

/// Listens on a loopback port, under TLS where it has an identity; every connection runs `serve`,
/// and closes when that ends. Thread: one loop's.
class RelayListener final {
 public:
  using Tcp = RelayStream::Tcp;
  using Serve = std::function<Awaitable<void>(RelayStreamPtr)>;

  RelayListener(asio::io_context& context, const ServerIdentity* identity, Serve serve)
      : state_(std::make_shared<State>(context, std::move(serve))) {
    if (identity != nullptr) {
      state_->tls.emplace(boost::asio::ssl::context::tls_server);
      state_->tls->use_certificate_chain(asio::buffer(identity->certificate));
      state_->tls->use_private_key(asio::buffer(identity->key), boost::asio::ssl::context::pem);
    }
    asio::co_spawn(context, accept(state_), asio::detached);
  }
  ~RelayListener() { state_->acceptor.close(); }
  RelayListener(const RelayListener&) = delete;
  RelayListener& operator=(const RelayListener&) = delete;

  [[nodiscard]] std::uint16_t port() const { return state_->acceptor.local_endpoint().port(); }
  [[nodiscard]] int connections() const { return state_->connections; }

  /// Passes bytes both ways between a connection and a loopback port, until one of the two has
  /// gone. `first` is sent there before all else.
  static Awaitable<void> relay(RelayStreamPtr client, std::uint16_t port, std::string first = {}) {
    auto server =
        std::make_shared<RelayStream>(Tcp::socket(client->socket().get_executor()), nullptr);
    const Tcp::endpoint at(asio::ip::address_v4::loopback(), port);
    co_await server->socket().async_connect(at, asio::use_awaitable);
    co_await server->write(asio::buffer(first));
    asio::co_spawn(client->socket().get_executor(), pass(client, server), asio::detached);
    co_await pass(server, client);
  }

 private:
  struct State {
    State(asio::io_context& context, Serve s)
        : acceptor(context, Tcp::endpoint(asio::ip::address_v4::loopback(), 0)),
          serve(std::move(s)) {}
    Tcp::acceptor acceptor;
    std::optional<boost::asio::ssl::context> tls;
    Serve serve;
    int connections = 0;
  };

  static Awaitable<void> accept(std::shared_ptr<State> state) {
    try {
      for (;;) {
        Tcp::socket socket = co_await state->acceptor.async_accept(asio::use_awaitable);
        ++state->connections;
        RelayStreamPtr stream =
            std::make_shared<RelayStream>(std::move(socket), state->tls ? &*state->tls : nullptr);
        asio::co_spawn(
            state->acceptor.get_executor(), run(state, std::move(stream)), asio::detached);
      }
    } catch (const boost::system::system_error&) {  // closed
    }
  }
  static Awaitable<void> run(std::shared_ptr<State> state, RelayStreamPtr stream) {
    try {
      co_await stream->handshake();
      co_await state->serve(stream);
    } catch (const boost::system::system_error&) {  // somebody went
    }
    stream->close();
  }

  static Awaitable<void> pass(RelayStreamPtr from, RelayStreamPtr to) {
    std::array<char, 16 * 1024> block{};
    try {
      for (;;) {
        const std::size_t got = co_await from->read_some(asio::buffer(block));
        co_await to->write(asio::buffer(block.data(), got));
      }
    } catch (const boost::system::system_error&) {  // one of the two went, so does the other
    }
    from->close();
    to->close();
  }

  std::shared_ptr<State> state_;
};

}  // namespace pn::testing
