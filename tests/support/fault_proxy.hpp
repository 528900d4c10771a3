#pragma once

#include "base/awaitable.hpp"

#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/system/system_error.hpp>

namespace pn::testing {

/// What a proxy does to one exchange.
enum class Fault {
  none,
  reset,        ///< the connection is reset, unanswered; the server never saw the request
  answer_lost,  ///< the server acted, its answer is reset
  half_close,   ///< our half is closed, unanswered
  hang,         ///< nothing, until the client goes
  late,         ///< the answer comes after 200 ms
  slow,         ///< it comes byte by byte
  truncated,    ///< it breaks off in the middle
  garbage,      ///< 200 with a body that is no JSON
  no_http,      ///< bytes that are no HTTP
  unavailable,  ///< 503 with Retry-After: 1
  gateway,      ///< 502 with an HTML page
  throttled,    ///< 429
  wrong_date,   ///< the server's clock is said to be a day off
};
constexpr int kFaults = 14;

/// A TCP proxy on a loopback port that speaks just enough HTTP/1.1 to harm single exchanges: what a
/// server cannot do to itself. Every exchange of a connection asks the script. Thread: one loop's.
class FaultProxy final {
 public:
  using Script = std::function<Fault(std::string_view method, std::string_view path)>;
  using Tcp = boost::asio::ip::tcp;

  FaultProxy(asio::io_context& context, std::uint16_t upstream, Script script)
      : state_(std::make_shared<State>(context, upstream, std::move(script))) {
    asio::co_spawn(context, accept(state_), asio::detached);
  }
  ~FaultProxy() { state_->acceptor.close(); }
  FaultProxy(const FaultProxy&) = delete;
  FaultProxy& operator=(const FaultProxy&) = delete;

  [[nodiscard]] std::string url() const {
    return "http://127.0.0.1:" + std::to_string(state_->acceptor.local_endpoint().port());
  }
  /// Messages are read no further than this; npos: to their end.
  void stall_after(std::size_t bytes) { state_->stall_after = bytes; }
  /// Something is held up there.
  [[nodiscard]] bool stalled() const { return state_->stalled; }

  [[nodiscard]] int harmed() const { return state_->harmed; }

  /// A partition: from now on, until it is healed, nothing passes either way. What comes meanwhile
  /// is lost, and its connections with it.
  void cut(bool apart) { state_->apart = apart; }
  /// Told of each request that is sent on, with its size.
  using Passed =
      std::function<void(std::string_view method, std::string_view path, std::size_t bytes)>;
  void on_pass(Passed passed) { state_->passed = std::move(passed); }
  /// May change an answer's body, but not its length.
  using Rewrite = std::function<void(std::string_view path, std::string& body)>;
  void on_answer(Rewrite rewrite) { state_->rewrite = std::move(rewrite); }

 private:
  struct State {
    State(asio::io_context& context, std::uint16_t port, Script s)
        : acceptor(context, Tcp::endpoint(asio::ip::address_v4::loopback(), 0)),
          upstream(asio::ip::address_v4::loopback(), port),
          script(std::move(s)) {}
    Tcp::acceptor acceptor;
    Tcp::endpoint upstream;
    Script script;
    int harmed = 0;
    std::size_t stall_after = std::string::npos;
    bool stalled = false;
    bool apart = false;
    Passed passed;
    Rewrite rewrite;
  };
  struct Message {
    std::string head;
    std::string body;
  };

  static Awaitable<void> accept(std::shared_ptr<State> state) {
    try {
      for (;;) {
        Tcp::socket socket = co_await state->acceptor.async_accept(asio::use_awaitable);
        auto client = std::make_shared<Tcp::socket>(std::move(socket));
        asio::co_spawn(state->acceptor.get_executor(), serve(state, client), asio::detached);
      }
    } catch (const boost::system::system_error&) {  // closed
    }
  }

  static Awaitable<void> serve(std::shared_ptr<State> state, std::shared_ptr<Tcp::socket> client) {
    try {
      Tcp::socket server(client->get_executor());
      std::string held;
      for (;;) {
        const Message request = co_await read(state.get(), *client, held);
        const std::size_t space = request.head.find(' ');
        const std::string path =
            request.head.substr(space + 1, request.head.find(' ', space + 1) - space - 1);
        const Fault chosen = state->script(request.head.substr(0, space), path);
        const Fault fault = state->apart ? Fault::hang : chosen;
        if (fault != Fault::none) ++state->harmed;
        const bool goes_on = co_await exchange(*state, *client, server, request, fault);
        if (!goes_on) co_return;
      }
    } catch (const boost::system::system_error&) {  // one of the two went
    }
  }

  /// Until the client goes.
  static Awaitable<void> never_answer(Tcp::socket& client) {
    std::string rest;
    for (;;) co_await more(client, rest);
  }

  /// False: the connection is over.
  static Awaitable<bool> exchange(
      State& state, Tcp::socket& client, Tcp::socket& server, const Message& request, Fault fault) {
    if (fault == Fault::reset) co_return reset(client);
    if (fault == Fault::half_close) client.shutdown(Tcp::socket::shutdown_send);
    if (fault == Fault::half_close || fault == Fault::hang) {
      co_await never_answer(client);
      co_return false;
    }
    std::string made = made_up(fault);
    if (made.empty()) {
      if (!server.is_open()) co_await server.async_connect(state.upstream, asio::use_awaitable);
      const std::string out = request.head + request.body;
      const std::size_t space = out.find(' ');
      const std::string path = out.substr(space + 1, out.find(' ', space + 1) - space - 1);
      if (state.passed) state.passed(out.substr(0, space), path, out.size());
      co_await asio::async_write(server, asio::buffer(out), asio::use_awaitable);
      std::string held;
      Message answer = co_await read(nullptr, server, held);
      if (fault == Fault::answer_lost) co_return reset(client);
      if (state.apart) {
        co_await never_answer(client);
        co_return false;
      }
      if (state.rewrite) state.rewrite(path, answer.body);
      made =
          (fault == Fault::wrong_date ? with_wrong_date(answer.head) : answer.head) + answer.body;
    }
    if (fault == Fault::late) co_await pause(client, std::chrono::milliseconds(200));
    if (fault == Fault::truncated) made.resize(made.size() / 2);
    const std::size_t step = fault == Fault::slow ? 16 : made.size();
    for (std::size_t at = 0; at < made.size(); at += step) {
      const std::string piece = made.substr(at, step);
      co_await asio::async_write(client, asio::buffer(piece), asio::use_awaitable);
      if (fault == Fault::slow) co_await pause(client, std::chrono::milliseconds(2));
    }
    co_return fault != Fault::truncated&& fault != Fault::no_http;
  }

  static bool reset(Tcp::socket& socket) {
    socket.set_option(asio::socket_base::linger(true, 0));
    socket.close();
    return false;
  }

  static Awaitable<void> pause(Tcp::socket& socket, std::chrono::milliseconds time) {
    asio::steady_timer timer(socket.get_executor(), time);
    co_await timer.async_wait(asio::use_awaitable);
  }

  static std::string made_up(Fault fault) {
    const auto answer = [](std::string_view status, std::string_view body) {
      return "HTTP/1.1 " + std::string(status) +
             "\r\ncontent-length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
    };
    switch (fault) {
      case Fault::garbage:
        return answer("200 OK\r\ncontent-type: application/json", "{\"lease_expires_at\":tomorrow");
      case Fault::unavailable:
        return answer("503 Service Unavailable\r\nretry-after: 1", "");
      case Fault::gateway:
        return answer("502 Bad Gateway", "<html>upstream</html>");
      case Fault::throttled:
        return answer("429 Too Many Requests", "{}");
      case Fault::no_http:
        return std::string("\0\xff SSH-2.0-nonsense\r\n\r\n", 24);
      default:
        return "";
    }
  }

  static std::string with_wrong_date(std::string head) {
    const std::size_t at = lower(head).find("\r\ndate:");
    if (at == std::string::npos) return head;
    const std::size_t end = head.find("\r\n", at + 2);
    return head.replace(at, end - at, "\r\nDate: Sun, 22 Nov 2026 10:00:00 GMT");
  }

  static std::string lower(std::string text) {
    for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    return text;
  }

  /// A head, and as much body as it names.
  static Awaitable<Message> read(State* state, Tcp::socket& socket, std::string& held) {
    Message out;
    std::size_t end = std::string::npos;
    while ((end = held.find("\r\n\r\n")) == std::string::npos) co_await more(socket, held);
    out.head = held.substr(0, end + 4);
    held.erase(0, end + 4);
    std::size_t length = 0;
    const std::string name = "\r\ncontent-length:";
    const std::size_t at = lower(out.head).find(name);
    if (at != std::string::npos) {
      std::size_t first = at + name.size();
      while (out.head[first] == ' ') ++first;
      std::from_chars(out.head.data() + first, out.head.data() + out.head.size(), length);
    }
    while (held.size() < length) {
      while (state != nullptr && held.size() > state->stall_after) {
        state->stalled = true;
        co_await pause(socket, std::chrono::milliseconds(5));
      }
      co_await more(socket, held);
    }
    out.body = held.substr(0, length);
    held.erase(0, length);
    co_return out;
  }

  static Awaitable<void> more(Tcp::socket& socket, std::string& held) {
    std::string piece(16 * 1024, '\0');
    const std::size_t size =
        co_await socket.async_read_some(asio::buffer(piece), asio::use_awaitable);
    held.append(piece, 0, size);
  }

  std::shared_ptr<State> state_;  // shared with the connections, which may outlive us by a turn
};

}  // namespace pn::testing
