#include "base/awaitable.hpp"
#include "base/result.hpp"
#include "http/connection.hpp"
#include "http/server.hpp"
#include "http/types.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <optional>
#include <string>
#include <string_view>

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/string.hpp>
#include <boost/beast/http/status.hpp>
#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

namespace pn::http {
namespace {

using boost::system::error_code;

constexpr std::size_t kJoined = 16 * 1024;  // bodies up to this size are copied behind the head
constexpr std::size_t kPiece = 64 * 1024;
constexpr std::size_t kFilePiece = 1024 * 1024;
constexpr std::uint64_t kTurn = 4 * kFilePiece;  // then other connections get the loop
constexpr off_t kAhead = 4 * 1024 * 1024;        // what the disk is asked for before it is needed

bool is_ours(std::string_view name) {
  const boost::beast::string_view field(name.data(), name.size());
  return boost::beast::iequals(field, "content-length") ||
         boost::beast::iequals(field, "transfer-encoding") ||
         boost::beast::iequals(field, "connection") || boost::beast::iequals(field, "date") ||
         boost::beast::iequals(field, "server");
}

/// Whether `next` bytes may follow `done` in a body of `size`; 0 is its end.
bool keeps_promise(std::optional<std::uint64_t> size, std::uint64_t done, std::uint64_t next) {
  if (!size) return true;
  return next == 0 ? done == *size : next <= *size - done;
}

bool has_no_body(int status) { return status < 200 || status == 204 || status == 304; }

}  // namespace

std::string_view ServerShared::date() {
  const auto now =
      std::chrono::duration_cast<std::chrono::seconds>(clock.system_now().time_since_epoch())
          .count();
  if (now != date_second_) {
    static constexpr std::array<const char*, 7> kDays{
        "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static constexpr std::array<const char*, 12> kMonths{
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    const std::time_t seconds = now;
    std::tm parts{};
    ::gmtime_r(&seconds, &parts);
    std::array<char, 64> text{};
    std::snprintf(text.data(),
                  text.size(),
                  "%s, %02d %s %04d %02d:%02d:%02d GMT",
                  kDays[static_cast<std::size_t>(parts.tm_wday)],
                  parts.tm_mday,
                  kMonths[static_cast<std::size_t>(parts.tm_mon)],
                  parts.tm_year + 1900,
                  parts.tm_hour,
                  parts.tm_min,
                  parts.tm_sec);
    date_ = text.data();
    date_second_ = now;
  }
  return date_;
}

void Connection::write_head(const ServerResponse& response,
                            bool keep_alive,
                            std::optional<std::uint64_t> size) {
  const auto reason =
      boost::beast::http::obsolete_reason(static_cast<boost::beast::http::status>(response.status));
  out_.clear();
  out_.append("HTTP/1.1 ").append(std::to_string(response.status)).append(" ");
  out_.append(reason.data(), reason.size()).append("\r\n");
  for (const auto& [field, value] : response.headers.all()) {
    if (is_ours(field)) continue;
    out_.append(field).append(": ").append(value).append("\r\n");
  }
  if (!has_no_body(response.status)) {
    if (size) {
      out_.append("Content-Length: ").append(std::to_string(*size)).append("\r\n");
    } else if (!parser_ || !parser_->http_1_0()) {
      out_.append("Transfer-Encoding: chunked\r\n");
    }
  }
  out_.append("Date: ").append(shared_.date()).append("\r\nServer: posenode\r\n");
  if (!keep_alive) {
    out_.append("Connection: close\r\n");
  } else if (parser_->http_1_0()) {
    out_.append("Connection: keep-alive\r\n");
  }
  out_.append("\r\n");
}

Awaitable<bool> Connection::send(ServerResponse& response, bool keep_alive) {
  std::optional<std::uint64_t> size = response.body.size();
  if (response.source) size = response.source->size();
  if (response.file) size = response.file->size;
  const bool chunked = !size;
  // A client of HTTP/1.0 knows no chunks: the end of the connection ends the body.
  const bool until_close = chunked && parser_ && parser_->http_1_0();
  write_head(response, keep_alive && !until_close, size);

  const bool head_only = parser_ && parser_->is_header_done() && request_.method == Method::head;
  if (head_only || has_no_body(response.status) || size == std::uint64_t{0}) {
    const Pieces head{out_};
    const bool sent = co_await send_pieces(head, More::no);
    co_return sent;
  }
  if (response.file) {
    const Pieces head{out_};
    const bool sent = co_await send_pieces(head, More::follows);
    if (!sent) co_return false;
    const bool whole = co_await send_file(*response.file);
    co_return whole;
  }
  if (response.source) {
    const Pieces head{out_};
    const bool sent = co_await send_pieces(head, More::no);
    if (!sent) co_return false;
    const bool whole = co_await send_source(*response.source, chunked && !until_close, size);
    co_return whole && !until_close;
  }
  std::string_view body = response.body;
  if (body.size() <= kJoined) {
    out_.append(body);
    body = {};
  }
  const Pieces both{out_, body};
  const bool sent = co_await send_pieces(both, More::no);
  if (out_.capacity() > 2 * kJoined) out_ = std::string();
  co_return sent;
}

/// One call of the kernel; moves the pieces on by what it took.
Connection::Sent Connection::try_send(Pieces& pieces, More more) {
  for (;;) {
    std::array<iovec, 3> parts{};
    std::size_t count = 0;
    for (const std::string_view piece : pieces) {
      if (piece.empty()) continue;
      parts[count].iov_base = const_cast<char*>(piece.data());
      parts[count].iov_len = piece.size();
      ++count;
    }
    if (count == 0) return Sent::all;
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = count;
    const int flags = MSG_NOSIGNAL | (more == More::follows ? MSG_MORE : 0);
    const ssize_t sent = ::sendmsg(socket_.native_handle(), &message, flags);
    if (sent < 0) {
      if (errno == EINTR) continue;
      return errno == EAGAIN || errno == EWOULDBLOCK ? Sent::again : Sent::failed;
    }
    std::size_t left = static_cast<std::size_t>(sent);
    for (std::string_view& piece : pieces) {
      const std::size_t step = std::min(left, piece.size());
      piece.remove_prefix(step);
      left -= step;
    }
  }
}

/// Waits until the socket takes more. False when it did not within the body time limit.
Awaitable<bool> Connection::writable() {
  error_code ec;
  timed_out_ = false;
  due_in(shared_.options.body_timeout);
  co_await socket_.async_wait(StreamSocket::wait_write,
                              asio::redirect_error(asio::use_awaitable, ec));
  due_ = SteadyTime::max();
  check_cancelled(ec);
  co_return !ec;
}

Awaitable<bool> Connection::send_pieces(Pieces pieces, More more) {
  for (;;) {
    const Sent sent = try_send(pieces, more);
    if (sent != Sent::again) co_return sent == Sent::all;
    const bool go_on = co_await writable();
    if (!go_on) co_return false;
  }
}

void Connection::log_truncated(std::uint64_t missing) {
  shared_.logger.error("http.response_truncated", {{"path", request_.path}, {"missing", missing}});
}

Awaitable<bool> Connection::send_file(const FileRange& file) {
  auto at = static_cast<off_t>(file.offset);
  off_t asked = at;
  std::uint64_t left = file.size;
  std::uint64_t turn = 0;
  while (left > 0) {
    if (at + kAhead / 2 >= asked) {
      ::posix_fadvise(file.fd.get(), asked, kAhead, POSIX_FADV_WILLNEED);
      asked += kAhead;
    }
    const auto want = static_cast<std::size_t>(std::min<std::uint64_t>(left, kFilePiece));
    const ssize_t sent = ::sendfile(socket_.native_handle(), file.fd.get(), &at, want);
    if (sent == 0) {  // shorter than its record says
      log_truncated(left);
      co_return false;
    }
    if (sent > 0) {
      left -= static_cast<std::uint64_t>(sent);
      turn += static_cast<std::uint64_t>(sent);
      if (turn < kTurn) continue;
    } else if (errno == EINTR) {
      continue;
    } else if (errno == EINVAL || errno == ENOSYS) {
      const bool copied = co_await copy_file(file.fd.get(), at, left);
      co_return copied;
    } else if (errno != EAGAIN && errno != EWOULDBLOCK) {
      co_return false;
    }
    turn = 0;
    const bool go_on = co_await writable();
    if (!go_on) co_return false;
  }
  co_return true;
}

/// Where the file system cannot sendfile.
Awaitable<bool> Connection::copy_file(int fd, std::int64_t at, std::uint64_t left) {
  std::string piece(std::min<std::uint64_t>(left, kPiece), '\0');
  while (left > 0) {
    const std::size_t want = std::min<std::uint64_t>(left, piece.size());
    const ssize_t got = ::pread(fd, piece.data(), want, at);
    if (got < 0 && errno == EINTR) continue;
    if (got == 0) log_truncated(left);
    if (got <= 0) co_return false;
    const auto count = static_cast<std::size_t>(got);
    const Pieces bytes{std::string_view(piece.data(), count)};
    const bool gone_out = co_await send_pieces(bytes, More::no);
    if (!gone_out) co_return false;
    at += got;
    left -= count;
  }
  co_return true;
}

/// One chunk, or bytes as they are.
Awaitable<bool> Connection::send_piece(std::string_view bytes, bool chunked) {
  Pieces pieces{bytes};
  std::array<char, 24> line{};
  if (chunked) {
    const int length = std::snprintf(line.data(), line.size(), "%zx\r\n", bytes.size());
    pieces = Pieces{std::string_view(line.data(), static_cast<std::size_t>(length)), bytes, "\r\n"};
  }
  const bool sent = co_await send_pieces(pieces, More::no);
  co_return sent;
}

Awaitable<bool> Connection::send_piece(const FileRange& file, bool chunked) {
  std::array<char, 24> line{};
  std::size_t length = 0;
  if (chunked) {
    length = static_cast<std::size_t>(std::snprintf(
        line.data(), line.size(), "%llx\r\n", static_cast<unsigned long long>(file.size)));
  }
  const Pieces before{std::string_view(line.data(), length)};
  const bool begun = co_await send_pieces(before, More::follows);
  if (!begun) co_return false;
  const bool sent = co_await send_file(file);
  if (!sent || !chunked) co_return sent;
  const Pieces after{"\r\n"};
  const bool ended = co_await send_pieces(after, More::follows);
  co_return ended;
}

Awaitable<bool> Connection::send_source(BodySource& source,
                                        bool chunked,
                                        std::optional<std::uint64_t> size) {
  std::string piece(kPiece, '\0');
  std::uint64_t done = 0;
  for (;;) {
    const std::optional<FileRange> file = source.take_file();
    Result<std::size_t> got = static_cast<std::size_t>(file ? file->size : 0);
    if (!file) {
      got = co_await source.read(piece);
    }
    if (!got || !keeps_promise(size, done, *got)) {
      // The promise cannot be kept: an unfinished body and a closed connection say so.
      const std::string why =
          got ? "the source does not have its promised size" : to_string(got.error());
      shared_.logger.error("http.response_truncated", {{"path", request_.path}, {"error", why}});
      co_return false;
    }
    if (*got == 0) break;
    done += *got;
    bool sent = false;
    if (file) {
      sent = co_await send_piece(*file, chunked);
    } else {
      const std::string_view bytes(piece.data(), *got);
      sent = co_await send_piece(bytes, chunked);
    }
    if (!sent) co_return false;
    if (size && done == *size) co_return true;
  }
  if (!chunked) co_return true;
  const Pieces last{"0\r\n\r\n"};
  const bool ended = co_await send_pieces(last, More::no);
  co_return ended;
}

}  // namespace pn::http
