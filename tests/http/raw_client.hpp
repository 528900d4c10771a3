#pragma once

#include "http/server.hpp"
#include "tests/support/test_loop.hpp"

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

namespace pn::testing {

/// A server that runs while a test does, on a free port.
class Served {
 public:
  Served(TestLoop& loop,
         http::Router router,
         http::ServerOptions options = {},
         log::Logger logger = {})
      : loop_(loop),
        server_(std::move(http::Server::listen(loop.executor(),
                                               loop.clock,
                                               std::move(logger),
                                               std::move(options),
                                               std::move(router)))
                    .value()),
        running_(loop, server_->run()) {}
  ~Served() {
    running_.cancel();
    settle();
  }

  [[nodiscard]] http::Server& server() { return *server_; }
  [[nodiscard]] std::uint16_t port() const { return server_->port(); }
  [[nodiscard]] bool done() const { return running_.done(); }
  [[nodiscard]] const Started& running() const { return running_; }
  void cancel() { running_.cancel(); }
  /// Until run() has returned.
  void settle() {
    loop_.context.restart();
    while (!running_.done() && loop_.context.run_one_for(std::chrono::seconds(10)) > 0) {
    }
  }

 private:
  TestLoop& loop_;
  std::unique_ptr<http::Server> server_;
  Started running_;
};

struct RawAnswer {
  int status = 0;
  std::string head;   ///< status line and fields
  std::string body;   ///< chunks joined
  bool whole = true;  ///< false: the connection ended first

  /// The value of a field; empty when absent.
  [[nodiscard]] std::string field(std::string_view name) const {
    std::string wanted = "\r\n" + std::string(name) + ": ";
    const std::size_t at = head.find(wanted);
    if (at == std::string::npos) return {};
    const std::size_t from = at + wanted.size();
    return head.substr(from, head.find("\r\n", from) - from);
  }
};

/// Bytes as they are on the wire: what a client library would hide.
class RawClient {
 public:
  RawClient(TestLoop& loop, std::uint16_t port) : loop_(loop), socket_(loop.context) {
    socket_.connect({asio::ip::make_address("127.0.0.1"), port});
    socket_.set_option(asio::ip::tcp::no_delay(true));
  }

  void send(std::string_view bytes) { loop_.run(write(bytes)); }
  /// Like send(), but the server may have hung up already.
  void try_send(std::string_view bytes) { loop_.run(try_write(bytes)); }
  void half_close() { socket_.shutdown(asio::ip::tcp::socket::shutdown_send); }
  void close() { socket_.close(); }

  enum class Body { expected, none };
  RawAnswer answer(Body body = Body::expected) {
    RawAnswer out;
    loop_.run(read_answer(out, body));
    return out;
  }
  RawAnswer ask(std::string_view bytes) {
    send(bytes);
    return answer();
  }
  /// Everything until the server closes.
  std::string rest() {
    loop_.run(read_all());
    return std::exchange(seen_, {});
  }
  bool closed_by_server() {
    bool closed = false;
    loop_.run(expect_end(closed));
    return closed;
  }

 private:
  Awaitable<void> write(std::string_view bytes) {
    co_await asio::async_write(socket_, asio::buffer(bytes), asio::use_awaitable);
  }
  Awaitable<void> try_write(std::string_view bytes) {
    co_await asio::async_write(socket_, asio::buffer(bytes), asio::as_tuple(asio::use_awaitable));
  }
  Awaitable<bool> more() {
    std::string piece(64 * 1024, '\0');
    const auto [ec, got] =
        co_await socket_.async_read_some(asio::buffer(piece), asio::as_tuple(asio::use_awaitable));
    seen_.append(piece, 0, got);
    co_return !ec;
  }
  Awaitable<void> read_all() {
    bool go_on = true;
    while (go_on) go_on = co_await more();
  }
  Awaitable<void> expect_end(bool& closed) {
    const bool got = co_await more();
    closed = !got;
  }
  Awaitable<void> read_answer(RawAnswer& out, Body body) {
    std::size_t end = 0;
    while ((end = seen_.find("\r\n\r\n")) == std::string::npos) {
      const bool go_on = co_await more();
      if (!go_on) {
        out.whole = false;
        co_return;
      }
    }
    out.head = seen_.substr(0, end + 2);
    seen_.erase(0, end + 4);
    out.status = std::stoi(out.head.substr(9, 3));
    if (body == Body::none || out.status == 204 || out.status == 304 || out.status == 100)
      co_return;
    if (out.field("Transfer-Encoding") == "chunked") {
      for (;;) {
        std::size_t line = 0;
        while ((line = seen_.find("\r\n")) == std::string::npos) {
          const bool go_on = co_await more();
          if (!go_on) {
            out.whole = false;
            co_return;
          }
        }
        const std::size_t size = std::stoul(seen_.substr(0, line), nullptr, 16);
        while (seen_.size() < line + 2 + size + 2) {
          const bool go_on = co_await more();
          if (!go_on) {
            out.whole = false;
            co_return;
          }
        }
        out.body += seen_.substr(line + 2, size);
        seen_.erase(0, line + 2 + size + 2);
        if (size == 0) co_return;
      }
    }
    const std::string length = out.field("Content-Length");
    const std::size_t size = length.empty() ? std::string::npos : std::stoul(length);
    while (seen_.size() < size) {
      const bool go_on = co_await more();
      if (!go_on) {
        out.whole = size == std::string::npos;
        break;
      }
    }
    out.body = seen_.substr(0, size);
    seen_.erase(0, out.body.size());
  }

  TestLoop& loop_;
  asio::ip::tcp::socket socket_;
  std::string seen_;
};

}  // namespace pn::testing
