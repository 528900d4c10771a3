#pragma once

#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/log.hpp"
#include "base/result.hpp"
#include "http/body.hpp"
#include "http/types.hpp"
#include "http/url.hpp"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pn::http {

/// A request as its handler sees it. The body is pulled by the handler; what it leaves unread is
/// discarded (or the connection closed, when much is left).
struct ServerRequest {
  Method method = Method::get;
  std::string path;  ///< decoded, without the query
  QueryPairs query;  ///< decoded
  Headers headers;
  std::map<std::string, std::string, std::less<>>
      params;                  ///< what {name} of the route matched, decoded
  std::string remote;          ///< "127.0.0.1:50312", "unix"
  BodySource* body = nullptr;  ///< never null in a handler; size() from Content-Length

  [[nodiscard]] std::optional<std::string> query_value(std::string_view key) const;
  [[nodiscard]] bool has_query(std::string_view key) const;
  /// The token of "Authorization: Bearer ..."; nothing when absent.
  [[nodiscard]] std::optional<std::string> bearer() const;

  /// What peer_gone() asks; empty: nobody knows.
  std::function<bool()> gone_probe{};
  /// Whether the client has hung up, as far as its socket tells now: for a handler that waits long,
  /// before it hands out what only this client may use. A client that only ended its sending counts
  /// as gone too.
  [[nodiscard]] bool peer_gone() const { return gone_probe && gone_probe(); }
};

struct ServerResponse {
  int status = 200;
  Headers headers{};
  std::string body{};
  std::unique_ptr<BodySource> source{};  ///< wins over body
  std::optional<FileRange> file{};       ///< wins over both

  static ServerResponse json(int status, std::string text);
  static ServerResponse text(int status,
                             std::string text,
                             std::string_view content_type = "text/plain; charset=utf-8");
  static ServerResponse empty(int status);
};

using Handler = std::function<Awaitable<ServerResponse>(ServerRequest&)>;

/// Routes are a method and a pattern "/api/v1/domains/{domain}/data/{id}"; {x} matches one
/// non-empty segment, literals win over {x}. No match: 404; a path known under another method: 405
/// with Allow. Both as JSON error bodies.
class Router {
 public:
  void add(Method method, std::string_view pattern, Handler handler);

  struct Match {
    const Handler* handler = nullptr;  ///< null: `status` says why
    int status = 404;
    std::string allow;
    std::string_view pattern;  ///< for metrics: bounded in number, unlike paths
    std::map<std::string, std::string, std::less<>> params;
  };
  [[nodiscard]] Match match(Method method, std::string_view path) const;

 private:
  struct Route {
    Method method;
    std::string pattern;
    std::vector<std::string> segments;
    Handler handler;
  };
  std::vector<Route> routes_;
};

struct ServerOptions {
  std::string address = "127.0.0.1";
  std::uint16_t port = 0;  ///< 0: a free one, see Server::port()
  /// Not empty: listens at this path and not on TCP, for this user and root alone
  /// (unix_socket.hpp).
  std::filesystem::path unix_socket{};
  std::uint32_t header_limit = 16 * 1024;
  std::uint64_t body_limit =
      std::uint64_t{64} * 1024 * 1024 * 1024;      ///< 413 past it; handlers set smaller ones
  std::chrono::milliseconds idle_timeout{75'000};  ///< between requests of one connection
  std::chrono::milliseconds header_timeout{10'000};
  std::chrono::milliseconds body_timeout{60'000};  ///< without one byte of progress
  std::size_t max_connections = 4096;
};

/// "{"error":{"code":"...","message":"..."}}", the one error body of the wire.
ServerResponse error_response(int status, std::string_view code, std::string_view message);

/// HTTP/1.1 on Beast. Owned by one loop; handlers run on it, one coroutine a connection. A handler
/// that throws is a 500 and an error event. Kind `rejected`, code "address_in_use", when the port
/// is taken.
class Server final {
 public:
  /// Listens at once, so that a caller can print the port; serves when run() is awaited.
  static Result<std::unique_ptr<Server>> listen(
      Executor executor, Clock& clock, log::Logger logger, ServerOptions options, Router router);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  [[nodiscard]] std::uint16_t port() const;

  /// Accepts until request_stop(), then lets the exchanges in flight end, and returns. Cancellation
  /// closes all at once.
  Awaitable<void> run();
  /// No new connection, idle ones closed, answers in flight finish with "Connection: close". From
  /// the server's loop.
  void request_stop();

 private:
  struct Impl;
  explicit Server(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// "127.0.0.1:8480", "[::1]:0", ":8480" (all addresses). Kind `rejected` naming what is wrong.
struct ListenAddress {
  std::string address;
  std::uint16_t port = 0;
};
Result<ListenAddress> parse_listen_address(std::string_view text);
/// Where a program of this machine reaches what listens there, at `port` where the system chose it:
/// "http://127.0.0.1:9464".
std::string local_url(const ListenAddress& listen, std::uint16_t port);

/// Reads a whole small body; kind `rejected`, code "body_too_large", past `limit`.
Awaitable<Result<std::string>> read_body(ServerRequest& request, std::uint64_t limit);

}  // namespace pn::http
