#pragma once

#include "base/awaitable.hpp"
#include "base/deadline.hpp"
#include "base/result.hpp"
#include "http/body.hpp"
#include "http/types.hpp"
#include "http/url.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace pn::http {

/// The limit of wire.md for a body that is parsed as JSON.
constexpr std::uint64_t kJsonBodyLimit = 2 * 1024 * 1024;

struct Request {
  Method method = Method::get;
  Url url;
  Headers headers{};
  /// Small bodies.
  std::string body{};
  /// Streamed body; wins over `body`. Borrowed until send() returns.
  BodySource* source = nullptr;
  /// Where a 2xx body goes; other answers' bodies are kept in Response::body (up to 64 KiB) for the
  /// error's detail. Without a sink a body is kept, up to `body_limit`. Borrowed until send()
  /// returns.
  BodySink* sink = nullptr;
  std::uint64_t body_limit = kJsonBodyLimit;
  /// Asked when there is a connection and the request, with a body that is in memory, is about to
  /// go out on it, and before each piece of a source's body that libcurl takes (at most 128 KiB):
  /// an Error ends the exchange and is its answer. Empty: always. Does not throw, does not call the
  /// client.
  std::function<Result<void>()> may_send{};

  /// For the whole exchange; zero: none (a data transfer has the low-speed limit instead).
  std::chrono::milliseconds timeout{60'000};
  /// Abort when slower than this for `low_speed_time`; zero bytes: off.
  std::uint32_t low_speed_bytes = 0;
  std::chrono::seconds low_speed_time{30};

  explicit Request(Url u) : url(std::move(u)) {}
  Request(Method m, Url u) : method(m), url(std::move(u)) {}
};

struct Response {
  int status = 0;
  Headers headers;
  std::string body;
};

/// One exchange. Answers a Response whatever its status; an Error (from_curl) when there was no
/// whole answer. Redirects are never followed. Cancellation closes the connection and throws
/// operation_aborted.
class HttpClient {
 public:
  virtual ~HttpClient() = default;
  virtual Awaitable<Result<Response>> send(Request request) = 0;
};

struct ClientOptions {
  std::string user_agent = "posenode";
  /// "http://user:password@host:port", for URLs of this scheme; "" = none. The environment's
  /// variables are NOT read here: bin passes what it read.
  std::string https_proxy{};
  std::string http_proxy{};
  std::string no_proxy{};         ///< who is asked directly all the same (proxy.hpp)
  std::string extra_ca_file{};    ///< PEM, trusted besides the system's, of servers and proxies
  bool allow_plain_http = false;  ///< http:// to other hosts than loopback
  /// Not empty: every request goes to this Unix socket, whatever host its URL names. At most 107
  /// bytes (unix_socket.hpp).
  std::string unix_socket{};
  std::size_t max_connections_per_host = 16;
  std::chrono::milliseconds connect_timeout{10'000};
};

/// libcurl's multi interface driven by the executor's loop: connections are pooled, HTTP/2 where
/// offered over TLS. The executor must be of an io_context with one thread; every call is made on
/// it. Kind `rejected` when the CA file cannot be read.
Result<std::unique_ptr<HttpClient>> make_http_client(Executor executor, ClientOptions options);

/// Turns an answer that is no success into the Error every caller shares: 401 unauthorized, 404 and
/// 410 not_found, 408, 425, 429 and 5xx retry (with `Retry-After`), 507 full, other 4xx rejected,
/// 1xx/3xx corrupt. Code "http_<status>"; the detail takes `error.message` of a JSON body, or its
/// first 200 printable characters.
Error from_http_status(const Response& response);

/// The time a server wrote into its answer's `Date` field (RFC 9110 5.6.7); nothing when there is
/// none, or none that can be read.
std::optional<SystemTime> server_date(const Headers& headers);

/// Seconds or an HTTP date (against `now`); nothing when absent, malformed, or over a day.
std::optional<std::chrono::milliseconds> retry_after(const Headers& headers, SystemTime now);

}  // namespace pn::http
