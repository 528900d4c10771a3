#include "http/connection.hpp"

#include "base/awaitable.hpp"
#include "base/encoding.hpp"
#include "base/log.hpp"
#include "base/result.hpp"
#include "base/thrown.hpp"
#include "base/time.hpp"
#include "http/server.hpp"
#include "http/types.hpp"
#include "http/url.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <optional>
#include <string>
#include <utility>

#include <boost/asio/buffer.hpp>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/string.hpp>
#include <boost/system/system_error.hpp>
#include <sys/socket.h>

namespace pn::http {
namespace {

namespace bhttp = boost::beast::http;
using boost::system::error_code;

constexpr std::size_t kHeadRead = 4096;
constexpr std::size_t kScratch = 16 * 1024;
constexpr std::uint64_t kDiscardLimit = 1024 * 1024;
constexpr std::chrono::milliseconds kLinger{2000};

std::string remote_of(const StreamSocket& socket) {
  error_code ec;
  const auto peer = socket.remote_endpoint(ec);
  if (ec) return "unknown";
  const int family = peer.protocol().family();
  if (family != AF_INET && family != AF_INET6) return "unix";
  asio::ip::tcp::endpoint tcp;
  std::memcpy(tcp.data(), peer.data(), std::min(peer.size(), tcp.capacity()));
  const std::string address = tcp.address().to_string();
  const std::string port = std::to_string(tcp.port());
  return tcp.address().is_v6() ? "[" + address + "]:" + port : address + ":" + port;
}

/// The answer to a request that is no HTTP, or too much of it.
ServerResponse refusal_for(const error_code& ec, const ServerOptions& options) {
  if (ec == bhttp::error::header_limit || ec == bhttp::error::buffer_overflow) {
    return error_response(431,
                          "header_too_large",
                          "the request line and header fields hold more than " +
                              std::to_string(options.header_limit) + " bytes");
  }
  if (ec == bhttp::error::body_limit) {
    return error_response(
        413,
        "body_too_large",
        "the request body holds more than " + std::to_string(options.body_limit) + " bytes");
  }
  return error_response(
      400, "request_malformed", "the request is no valid HTTP/1.1: " + ec.message());
}

}  // namespace

Connection::Connection(ServerShared& shared, StreamSocket socket)
    : shared_(shared),
      socket_(std::move(socket)),
      buffer_(std::size_t{shared.options.header_limit} + kScratch),
      body_(*this),
      remote_(remote_of(socket_)) {
  request_.gone_probe = [this] { return peer_gone(); };
}

void Connection::expire(SteadyTime now) {
  if (now < due_) return;
  due_ = SteadyTime::max();
  timed_out_ = true;
  error_code ignored;
  socket_.cancel(ignored);
}

void Connection::stop() {
  if (!idle_) return;
  error_code ignored;
  socket_.cancel(ignored);
}

void Connection::check_cancelled(const error_code& ec) const {
  if (ec != asio::error::operation_aborted) return;
  if (timed_out_ || (idle_ && shared_.stopping)) return;
  throw boost::system::system_error(ec);
}

Awaitable<void> Connection::serve() {
  bool go_on = true;
  while (go_on) go_on = co_await exchange();
  error_code ignored;
  socket_.close(ignored);
}

Awaitable<void> Connection::refuse() {
  ServerResponse response = error_response(
      503, "too_many_connections", "the server holds as many connections as it may; try again");
  response.headers.set("Retry-After", "1");
  const bool sent = co_await send(response, false);
  if (sent) co_await linger();
}

Awaitable<bool> Connection::exchange() {
  const Head head = co_await read_head();
  if (head == Head::closed) co_return false;
  if (head == Head::refused) {
    const bool sent = co_await send(*refusal_, false);
    if (sent) co_await linger();
    co_return false;
  }
  const auto started = shared_.clock.steady_now();
  ServerResponse response = co_await answer();
  if (body_state_ == BodyState::gone) co_return false;
  if (body_state_ != BodyState::fine) {
    const Error error = body_error();
    const int status = body_state_ == BodyState::timed_out   ? 408
                       : body_state_ == BodyState::too_large ? 413
                                                             : 400;
    response = error_response(status, error.code, error.detail);
  }
  const bool keep_alive = parser_->keep_alive() && !shared_.stopping &&
                          body_state_ == BodyState::fine && unread_body_fits();
  const bool sent = co_await send(response, keep_alive);
  if (shared_.logger.enabled(log::Level::debug)) {
    const auto took =
        std::chrono::duration_cast<std::chrono::microseconds>(shared_.clock.steady_now() - started);
    shared_.logger.debug("http.request_served",
                         {{"method", name(request_.method)},
                          {"path", request_.path},
                          {"status", response.status},
                          {"us", took.count()},
                          {"remote", remote_}});
  }
  if (!sent) co_return false;
  if (parser_->is_done()) co_return keep_alive;
  if (keep_alive) {
    const bool discarded = co_await discard_body();
    if (discarded) co_return true;
  }
  co_await linger();
  co_return false;
}

void Connection::prepare_request() {
  request_.query.clear();
  request_.headers = Headers{};
  request_.params.clear();
  request_.method = Method::get;
  request_.remote = remote_;
  request_.body = &body_;
  body_state_ = BodyState::fine;
  expects_continue_ = false;
  timed_out_ = false;
  parser_.emplace(request_, shared_.options);
  // A connection that waits holds one small buffer, whatever its last request needed.
  if (buffer_.size() == 0 && buffer_.capacity() > kHeadRead) buffer_.shrink_to_fit();
}

bool Connection::peer_gone() {
  char byte = 0;
  const auto got = ::recv(socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  if (got > 0) return false;  // the next request, or more of this one
  if (got == 0) return true;
  return errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR;
}

/// RFC 9112 2.2: an empty line before the request line is ignored.
void Connection::skip_empty_lines() {
  const auto starts_empty = [this] {
    return std::string_view(static_cast<const char*>(buffer_.data().data()), 2) == "\r\n";
  };
  while (buffer_.size() >= 2 && starts_empty()) buffer_.consume(2);
}

std::optional<Connection::Head> Connection::parse_head() {
  if (!parser_->got_some()) skip_empty_lines();
  if (buffer_.size() == 0) return std::nullopt;
  error_code ec;
  buffer_.consume(parser_->put(buffer_.data(), ec));
  if (ec && ec != bhttp::error::need_more) {
    refusal_ = refusal_for(ec, shared_.options);
    return Head::refused;
  }
  if (parser_->is_header_done()) return Head::complete;
  if (buffer_.size() >= shared_.options.header_limit) {
    refusal_ = refusal_for(bhttp::error::header_limit, shared_.options);
    return Head::refused;
  }
  return std::nullopt;
}

Awaitable<Connection::Head> Connection::read_head() {
  prepare_request();
  bool started = buffer_.size() > 0;
  due_in(started ? shared_.options.header_timeout : shared_.options.idle_timeout);
  SteadyTime due = due_;
  error_code ec;
  for (;;) {
    if (const std::optional<Head> parsed = parse_head()) {
      due_ = SteadyTime::max();
      co_return *parsed;
    }
    if (!started && shared_.stopping) co_return Head::closed;
    idle_ = !started;
    due_ = due;
    const std::size_t got = co_await socket_.async_read_some(
        buffer_.prepare(kHeadRead), asio::redirect_error(asio::use_awaitable, ec));
    due_ = SteadyTime::max();
    check_cancelled(ec);
    idle_ = false;
    if (ec && timed_out_ && started) {
      refusal_ = error_response(
          408, "request_timeout", "the request's header fields did not arrive in time");
      co_return Head::refused;
    }
    if (ec) co_return Head::closed;
    buffer_.commit(got);
    if (!started) {
      started = true;
      due_in(shared_.options.header_timeout);
      due = due_;
    }
  }
}

Awaitable<ServerResponse> Connection::answer() {
  if (!parser_->method_known()) {
    co_return error_response(501, "method_unknown", "this server does not know the method");
  }
  if (!parser_->http_1_0() && !request_.headers.find("host")) {
    co_return error_response(400, "host_missing", "an HTTP/1.1 request must have a Host field");
  }
  if (const auto expect = request_.headers.find("expect")) {
    if (!boost::beast::iequals({expect->data(), expect->size()}, "100-continue")) {
      co_return error_response(417, "expectation_unknown", "only 100-continue is known");
    }
    expects_continue_ = !parser_->http_1_0() && !parser_->is_done();
  }
  std::string_view target = parser_->target();
  if (target.starts_with("http://") || target.starts_with("https://")) {  // absolute form
    const std::size_t slash = target.find('/', target.find("//") + 2);
    target = slash == std::string_view::npos ? "/" : target.substr(slash);
  }
  target = target.substr(0, target.find('#'));
  const std::size_t mark = target.find('?');
  const std::string_view raw_path = target.substr(0, mark);
  if (mark != std::string_view::npos) request_.query = parse_query(target.substr(mark + 1));
  std::optional<std::string> path = percent_decode(raw_path);
  if (!path || !raw_path.starts_with('/')) {
    co_return error_response(400, "path_malformed", "the path is not validly encoded");
  }
  request_.path = std::move(*path);

  Router::Match match = shared_.router.match(request_.method, raw_path);
  if (match.handler == nullptr) {
    ServerResponse response =
        match.status == 405
            ? error_response(405, "method_not_allowed", "this path has no such method")
            : error_response(404, "path_unknown", "nothing is served under this path");
    if (!match.allow.empty()) response.headers.set("Allow", match.allow);
    co_return response;
  }
  request_.params = std::move(match.params);

  std::exception_ptr failure;
  try {
    Awaitable<ServerResponse> answering = (*match.handler)(request_);
    ServerResponse response = co_await std::move(answering);
    co_return response;
  } catch (...) {
    failure = std::current_exception();
  }
  const auto state = co_await asio::this_coro::cancellation_state;
  if (state.cancelled() != asio::cancellation_type::none) std::rethrow_exception(failure);
  // A bug of a handler ends its own exchange, not the server.
  shared_.logger.error(
      "http.handler_failed",
      {{"method", name(request_.method)}, {"route", match.pattern}, {"what", what_of(failure)}});
  co_return error_response(500, "internal", "the server failed to answer; its log says why");
}

bool Connection::unread_body_fits() const {
  if (parser_->is_done()) return true;
  if (expects_continue_) return false;  // whether the client sends its body now is anyone's guess
  const auto left = parser_->content_length_remaining();
  return !left || *left <= kDiscardLimit;
}

Awaitable<bool> Connection::discard_body() {
  std::string scratch(kScratch, '\0');
  std::uint64_t discarded = 0;
  while (discarded <= kDiscardLimit) {
    const Result<std::size_t> got = co_await read_body(scratch);
    if (!got) co_return false;
    if (*got == 0) co_return true;
    discarded += *got;
  }
  co_return false;
}

Awaitable<void> Connection::linger() {
  // Closing with unread bytes would reset the connection and could take the answer with it.
  error_code ec;
  socket_.shutdown(StreamSocket::shutdown_send, ec);
  buffer_.consume(buffer_.size());
  std::uint64_t discarded = 0;
  const SteadyTime due = shared_.clock.steady_now() + kLinger;
  timed_out_ = false;
  while (!ec && discarded < 16 * kDiscardLimit) {
    due_ = due;
    discarded += co_await socket_.async_read_some(buffer_.prepare(kHeadRead),
                                                  asio::redirect_error(asio::use_awaitable, ec));
    due_ = SteadyTime::max();
    check_cancelled(ec);
  }
}

}  // namespace pn::http
