#pragma once

#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "http/request_parser.hpp"
#include "http/server.hpp"

#include <array>
#include <cstdint>
#include <exception>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/beast/core/flat_buffer.hpp>

namespace pn::http {

/// A connection of either kind: TCP, or a Unix socket.
using StreamSocket = asio::generic::stream_protocol::socket;

/// What all connections of one server share. Loop thread only.
struct ServerShared {
  ServerShared(Clock& c, log::Logger l, ServerOptions o, Router r)
      : clock(c), logger(std::move(l)), options(std::move(o)), router(std::move(r)) {}

  /// "Fri, 20 Nov 2026 10:00:00 GMT", made once a second.
  std::string_view date();

  Clock& clock;
  log::Logger logger;
  ServerOptions options;
  Router router;
  bool stopping = false;

 private:
  std::int64_t date_second_ = -1;
  std::string date_;
};

/// One client connection: reads requests, calls handlers, writes answers, one after the other.
///
/// Internal to the server. Time limits cost no timer: each wait notes when it is due, and the
/// server's sweep calls expire().
class Connection final {
 public:
  Connection(ServerShared& shared, StreamSocket socket);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// Until the client leaves, a limit closes it, or the server stops.
  Awaitable<void> serve();
  /// Answers 503 and closes: too many connections.
  Awaitable<void> refuse();

  /// Ends the present wait when it is overdue.
  void expire(SteadyTime now);
  /// Ends the wait for a next request; an exchange in flight goes on.
  void stop();

 private:
  enum class Head { complete, closed, refused };
  enum class BodyState { fine, gone, timed_out, malformed, too_large };
  enum class Sent { all, again, failed };
  enum class More { no, follows };
  using Pieces = std::array<std::string_view, 3>;

  class Body final : public BodySource {
   public:
    explicit Body(Connection& connection) : connection_(connection) {}
    [[nodiscard]] std::optional<std::uint64_t> size() const override;
    Awaitable<Result<std::size_t>> read(std::span<char> buffer) override;
    bool rewind() override { return false; }

   private:
    Connection& connection_;
  };

  // connection.cpp: the exchange
  Awaitable<bool> exchange();
  Awaitable<Head> read_head();
  /// Of what came so far; nothing when more must come.
  std::optional<Head> parse_head();
  Awaitable<ServerResponse> answer();
  [[nodiscard]] bool unread_body_fits() const;
  Awaitable<bool> discard_body();
  Awaitable<void> linger();
  void prepare_request();
  /// The socket says that the client left. While a handler runs nobody reads, so nobody else sees.
  [[nodiscard]] bool peer_gone();
  void skip_empty_lines();
  /// What a wait that ended with `ec` means; throws when it was the coroutine that was cancelled.
  void check_cancelled(const boost::system::error_code& ec) const;

  // connection_body.cpp
  Awaitable<Result<std::size_t>> read_body(std::span<char> buffer);
  Awaitable<bool> receive_body(std::span<char> buffer);
  bool parse_buffered();
  [[nodiscard]] Error body_error() const;

  // connection_write.cpp
  void write_head(const ServerResponse& response,
                  bool keep_alive,
                  std::optional<std::uint64_t> size);
  Awaitable<bool> send(ServerResponse& response, bool keep_alive);
  Awaitable<bool> send_pieces(Pieces pieces, More more);
  Awaitable<bool> send_file(const FileRange& file);
  Awaitable<bool> copy_file(int fd, std::int64_t at, std::uint64_t left);
  void log_truncated(std::uint64_t missing);
  Awaitable<bool> send_piece(std::string_view bytes, bool chunked);
  Awaitable<bool> send_piece(const FileRange& file, bool chunked);
  Awaitable<bool> send_source(BodySource& source, bool chunked, std::optional<std::uint64_t> size);
  Awaitable<bool> writable();
  Sent try_send(Pieces& pieces, More more);

  void due_in(std::chrono::milliseconds limit) { due_ = shared_.clock.steady_now() + limit; }

  ServerShared& shared_;
  StreamSocket socket_;
  boost::beast::flat_buffer buffer_;  // what came and is not yet parsed, pipelined requests too
  std::optional<RequestParser> parser_;
  ServerRequest request_;
  Body body_;
  std::string remote_;
  std::string out_;  // the answer's head, and its body when small
  SteadyTime due_ = SteadyTime::max();
  BodyState body_state_ = BodyState::fine;
  bool timed_out_ = false;
  bool idle_ = false;
  bool expects_continue_ = false;
  std::optional<ServerResponse> refusal_;  // what read_head() answers for itself
};

}  // namespace pn::http
