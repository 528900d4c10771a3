#include "base/awaitable.hpp"
#include "base/result.hpp"
#include "http/connection.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace pn::http {
namespace {

namespace bhttp = boost::beast::http;
using boost::system::error_code;

constexpr std::size_t kChunkedRead = 16 * 1024;

}  // namespace

std::optional<std::uint64_t> Connection::Body::size() const {
  if (connection_.parser_->chunked()) return std::nullopt;
  const auto length = connection_.parser_->content_length();
  return length ? *length : 0;
}

Awaitable<Result<std::size_t>> Connection::Body::read(std::span<char> buffer) {
  return connection_.read_body(buffer);
}

Error Connection::body_error() const {
  switch (body_state_) {
    case BodyState::timed_out:
      return {ErrorKind::retry, "body_timeout", "the request body stopped coming"};
    case BodyState::malformed:
      return {ErrorKind::rejected, "body_malformed", "the request body is no valid chunked coding"};
    case BodyState::too_large:
      return {ErrorKind::rejected,
              "body_too_large",
              "the request body holds more than " + std::to_string(shared_.options.body_limit) +
                  " bytes"};
    case BodyState::gone:
    case BodyState::fine:
      break;
  }
  return {ErrorKind::retry, "client_gone", "the client left before its request was whole"};
}

Awaitable<Result<std::size_t>> Connection::read_body(std::span<char> buffer) {
  if (body_state_ != BodyState::fine) co_return body_error();
  if (buffer.empty()) co_return std::size_t{0};
  if (expects_continue_) {
    expects_continue_ = false;
    if (buffer_.size() == 0) {
      const Pieces go_on{"HTTP/1.1 100 Continue\r\n\r\n"};
      const bool sent = co_await send_pieces(go_on, More::no);
      if (!sent) body_state_ = BodyState::gone;
    }
  }
  parser_->into(buffer);
  while (body_state_ == BodyState::fine && parser_->filled() == 0 && !parser_->is_done()) {
    if (parse_buffered()) continue;
    if (body_state_ != BodyState::fine) break;
    co_await receive_body(buffer);
  }
  if (body_state_ != BodyState::fine) co_return body_error();
  co_return parser_->filled();
}

/// Parses what is buffered. False when more input is needed, or the body is wrong.
bool Connection::parse_buffered() {
  if (buffer_.size() == 0) return false;
  error_code ec;
  const std::size_t used = parser_->put(buffer_.data(), ec);
  buffer_.consume(used);
  if (!ec || ec == bhttp::error::need_buffer) return true;
  if (ec == bhttp::error::need_more) {
    // Chunk headers and trailers must fit the buffer.
    if (buffer_.size() >= shared_.options.header_limit) body_state_ = BodyState::malformed;
    return false;
  }
  body_state_ = ec == bhttp::error::body_limit ? BodyState::too_large : BodyState::malformed;
  return false;
}

/// One read from the socket: straight into the reader's buffer when the length is known.
Awaitable<bool> Connection::receive_body(std::span<char> buffer) {
  const auto left = parser_->content_length_remaining();
  const bool direct = left && buffer_.size() == 0;
  asio::mutable_buffer to;
  if (direct) {
    to = asio::buffer(buffer.data(),
                      static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), *left)));
  } else {
    to = buffer_.prepare(std::min(kChunkedRead, buffer_.max_size() - buffer_.size()));
  }
  error_code ec;
  timed_out_ = false;
  due_in(shared_.options.body_timeout);
  const std::size_t got =
      co_await socket_.async_read_some(to, asio::redirect_error(asio::use_awaitable, ec));
  due_ = SteadyTime::max();
  check_cancelled(ec);
  if (ec) {
    body_state_ = timed_out_ ? BodyState::timed_out : BodyState::gone;
    co_return false;
  }
  if (!direct) {
    buffer_.commit(got);
    co_return true;
  }
  std::size_t parsed = 0;
  while (parsed < got) {
    parsed += parser_->put(asio::const_buffer(buffer.data() + parsed, got - parsed), ec);
    if (ec) {
      body_state_ = BodyState::malformed;
      co_return false;
    }
  }
  co_return true;
}

}  // namespace pn::http
