#include "http/server.hpp"

#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/deadline.hpp"
#include "base/event.hpp"
#include "base/file.hpp"
#include "base/log.hpp"
#include "base/nursery.hpp"
#include "base/result.hpp"
#include "base/thrown.hpp"
#include "base/time.hpp"
#include "http/connection.hpp"
#include "http/unix_socket.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>
#include <sys/socket.h>
#include <unistd.h>

namespace pn::http {
namespace {

using asio::ip::tcp;
using boost::system::error_code;

constexpr std::size_t kMaxRefusals = 64;
constexpr std::chrono::milliseconds kAcceptPause{100};

std::string shown(const std::string& address, std::uint16_t port) {
  const bool v6 = address.find(':') != std::string::npos;
  return (v6 ? "[" + address + "]" : address) + ":" + std::to_string(port);
}

Error listen_error(const error_code& ec, const ServerOptions& options) {
  const std::string where = "cannot listen on " + shown(options.address, options.port);
  if (ec == asio::error::address_in_use) {
    return {ErrorKind::rejected,
            "address_in_use",
            where + ": another program uses port " + std::to_string(options.port) +
                "; stop it, or choose another port (0 takes a free one)"};
  }
  if (ec == asio::error::access_denied) {
    return {ErrorKind::rejected,
            "address_denied",
            where + ": ports below 1024 need a privilege; choose another port"};
  }
  return {ErrorKind::rejected,
          "address_unusable",
          where + ": " + ec.message() + "; use an address of this machine"};
}

/// Of either kind, so that there is one accept loop.
using Acceptor = asio::basic_socket_acceptor<asio::generic::stream_protocol>;

error_code open_on(Acceptor& acceptor, const tcp::endpoint& endpoint) {
  error_code ec;
  acceptor.open(endpoint.protocol(), ec);
  if (!ec) acceptor.set_option(tcp::acceptor::reuse_address(true), ec);
  if (!ec && endpoint.address().is_v6()) acceptor.set_option(asio::ip::v6_only(false), ec);
  if (!ec) acceptor.bind(endpoint, ec);
  if (!ec) acceptor.listen(Acceptor::max_listen_connections, ec);
  if (ec) {
    error_code ignored;
    acceptor.close(ignored);
  }
  return ec;
}

std::uint16_t port_of(const Acceptor& acceptor) {
  tcp::endpoint tcp;
  const auto local = acceptor.local_endpoint();
  std::memcpy(tcp.data(), local.data(), std::min(local.size(), tcp.capacity()));
  return tcp.port();
}

}  // namespace

struct Server::Impl {
  Impl(const Executor& executor, ServerShared all)
      : shared(std::move(all)), acceptor(executor), wake(executor), nursery(executor) {
    const auto shortest = std::min(
        {shared.options.idle_timeout, shared.options.header_timeout, shared.options.body_timeout});
    tick = std::clamp(shortest / 4, std::chrono::milliseconds(5), std::chrono::milliseconds(1000));
  }

  /// Keeps a connection where the sweep finds it, for as long as it is served.
  class Listed {
   public:
    Listed(Impl& impl, Connection& connection, std::size_t& count)
        : impl_(impl), connection_(connection), count_(count) {
      impl_.connections.insert(&connection_);
      if (impl_.sweep_rests) impl_.wake.set();
    }
    ~Listed() {
      impl_.connections.erase(&connection_);
      --count_;
      if (impl_.shared.stopping && impl_.connections.empty()) impl_.wake.set();
    }
    Listed(const Listed&) = delete;
    Listed& operator=(const Listed&) = delete;

   private:
    Impl& impl_;
    Connection& connection_;
    std::size_t& count_;
  };

  Awaitable<void> accept();
  Awaitable<void> sweep();
  Awaitable<void> serve(StreamSocket socket);
  Awaitable<void> refuse(StreamSocket socket);
  Result<void> listen_tcp();
  Result<void> listen_at_path();
  [[nodiscard]] bool prepare(StreamSocket& socket) const;
  [[nodiscard]] bool by_path() const { return !shared.options.unix_socket.empty(); }

  // Injected or constant.
  ServerShared shared;
  std::chrono::milliseconds tick{};
  // Loop thread only.
  Acceptor acceptor;
  std::uint16_t port = 0;
  std::set<Connection*> connections;
  std::size_t served = 0;    // counted from the accept on
  std::size_t refusals = 0;  // likewise
  bool sweep_rests = false;
  Event wake;  // for the sweep: there is a first connection, or no last one
  Nursery nursery;
};

Result<void> Server::Impl::listen_tcp() {
  const ServerOptions& options = shared.options;
  error_code ec;
  const auto address = asio::ip::make_address(options.address, ec);
  if (ec) return listen_error(ec, options);
  ec = open_on(acceptor, tcp::endpoint(address, options.port));
  const bool no_v6 = ec == asio::error::address_family_not_supported ||
                     ec == boost::system::errc::address_not_available;
  if (no_v6 && address.is_v6() && address.is_unspecified()) {  // a machine without IPv6
    ec = open_on(acceptor, tcp::endpoint(asio::ip::address_v4::any(), options.port));
  }
  if (ec) return listen_error(ec, options);
  port = port_of(acceptor);
  return {};
}

Result<void> Server::Impl::listen_at_path() {
  Result<UniqueFd> fd = listen_unix(shared.options.unix_socket);
  if (!fd) return std::move(fd).error();
  acceptor.assign(asio::generic::stream_protocol(AF_UNIX, 0), fd->release());
  return {};
}

Result<std::unique_ptr<Server>> Server::listen(
    Executor executor, Clock& clock, log::Logger logger, ServerOptions options, Router router) {
  auto impl = std::make_unique<Impl>(
      executor, ServerShared(clock, std::move(logger), std::move(options), std::move(router)));
  const Result<void> listens = impl->by_path() ? impl->listen_at_path() : impl->listen_tcp();
  if (!listens) return listens.error();
  return std::unique_ptr<Server>(new Server(std::move(impl)));
}

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Server::~Server() {
  // The caller's lock keeps others from having made it theirs already.
  if (impl_->by_path()) ::unlink(impl_->shared.options.unix_socket.c_str());
}

std::uint16_t Server::port() const { return impl_->port; }

Awaitable<void> Server::run() {
  impl_->nursery.spawn("http accept", impl_->accept());
  impl_->nursery.spawn("http sweep", impl_->sweep());
  co_await impl_->nursery.join();
}

void Server::request_stop() {
  impl_->shared.stopping = true;
  error_code ignored;
  impl_->acceptor.close(ignored);
  for (Connection* connection : impl_->connections) connection->stop();
  impl_->wake.set();
}

Awaitable<void> Server::Impl::accept() {
  while (!shared.stopping) {
    error_code ec;
    StreamSocket socket =
        co_await acceptor.async_accept(asio::redirect_error(asio::use_awaitable, ec));
    if (ec == asio::error::operation_aborted) {
      if (shared.stopping) co_return;
      throw boost::system::system_error(ec);
    }
    if (shared.stopping) co_return;
    if (ec == asio::error::connection_aborted) continue;
    if (ec) {  // out of descriptors or memory: those in use will come back
      shared.logger.warn("http.accept_failed", {{"error", ec.message()}});
      co_await shared.clock.sleep_for(kAcceptPause);
      continue;
    }
    if (!prepare(socket)) continue;
    if (served < shared.options.max_connections) {
      ++served;
      nursery.spawn("http connection", serve(std::move(socket)));
    } else if (refusals < kMaxRefusals) {
      shared.logger.warn("http.connection_refused",
                         {{"max_connections", shared.options.max_connections}});
      ++refusals;
      nursery.spawn("http refusal", refuse(std::move(socket)));
    }
  }
}

bool Server::Impl::prepare(StreamSocket& socket) const {
  error_code ec;
  if (!by_path()) {
    socket.set_option(tcp::no_delay(true), ec);
  } else if (!same_user_or_root(socket.native_handle())) {
    shared.logger.warn("http.peer_refused", {{"path", shared.options.unix_socket.string()}});
    return false;
  }
  if (!ec) socket.non_blocking(true, ec);
  return !ec;
}

Awaitable<void> Server::Impl::serve(StreamSocket socket) {
  Connection connection(shared, std::move(socket));
  const Listed listed(*this, connection, served);
  std::exception_ptr failure;
  try {
    co_await connection.serve();
  } catch (...) {
    failure = std::current_exception();
  }
  if (!failure) co_return;
  const auto state = co_await asio::this_coro::cancellation_state;
  if (state.cancelled() != asio::cancellation_type::none) std::rethrow_exception(failure);
  // A source that throws, no memory: one connection's end, not the server's.
  shared.logger.error("http.connection_failed", {{"what", what_of(failure)}});
}

Awaitable<void> Server::Impl::refuse(StreamSocket socket) {
  Connection connection(shared, std::move(socket));
  const Listed listed(*this, connection, refusals);
  co_await connection.refuse();
}

/// Looks once a tick for waits that are overdue: one timer, however many connections.
Awaitable<void> Server::Impl::sweep() {
  while (!shared.stopping || !connections.empty()) {
    if (connections.empty()) {
      sweep_rests = true;
      co_await wake.wait();
      sweep_rests = false;
      continue;
    }
    const Deadline next = Deadline::in(shared.clock, tick);
    co_await wake.wait_until(shared.clock, next);
    const SteadyTime now = shared.clock.steady_now();
    for (Connection* connection : connections) connection->expire(now);
  }
}

}  // namespace pn::http
