#include "base/awaitable.hpp"
#include "base/result.hpp"
#include "http/client.hpp"
#include "http/curl_loop.hpp"
#include "http/curl_transfer.hpp"
#include "http/extra_ca.hpp"
#include "http/proxy.hpp"

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace pn::http {
namespace {

/// Handles kept for the next exchange: setting one up costs more than a small exchange.
constexpr std::size_t kIdleTransfers = 8;

/// What the exchanges of one client share; lives as long as the last of them.
struct Shared {
  Shared(Executor executor, CurlSettings s)
      : settings(std::move(s)),
        loop(std::move(executor), settings.options.max_connections_per_host) {}

  std::unique_ptr<CurlTransfer> borrow() {
    if (idle.empty()) return std::make_unique<CurlTransfer>(loop, settings);
    std::unique_ptr<CurlTransfer> transfer = std::move(idle.back());
    idle.pop_back();
    return transfer;
  }
  void give_back(std::unique_ptr<CurlTransfer> transfer) {
    transfer->stop();
    if (idle.size() < kIdleTransfers) idle.push_back(std::move(transfer));
  }

  const CurlSettings settings;
  CurlLoop loop;
  std::vector<std::unique_ptr<CurlTransfer>> idle;
};

/// A transfer for the time of one send(): however that ends, the exchange ends with it.
class Borrowed final {
 public:
  explicit Borrowed(Shared& shared) : shared_(shared), transfer_(shared.borrow()) {}
  ~Borrowed() { shared_.give_back(std::move(transfer_)); }
  Borrowed(const Borrowed&) = delete;
  Borrowed& operator=(const Borrowed&) = delete;

  CurlTransfer& operator*() const { return *transfer_; }

 private:
  Shared& shared_;
  std::unique_ptr<CurlTransfer> transfer_;
};

class CurlClient final : public HttpClient {
 public:
  CurlClient(Executor executor, CurlSettings settings)
      : shared_(std::make_shared<Shared>(std::move(executor), std::move(settings))) {}

  Awaitable<Result<Response>> send(Request request) override;

 private:
  // shared with the exchanges in flight, so that a client may go before its loop has unwound them
  std::shared_ptr<Shared> shared_;
};

Awaitable<Result<Response>> CurlClient::send(Request request) {
  const std::shared_ptr<Shared> shared = shared_;
  const bool plain = request.url.scheme() == "http" && !request.url.is_loopback();
  if (plain && !shared->settings.options.allow_plain_http) {
    // This process's own setting: what asked for the URL is not at fault, another node may take it.
    co_return Error(ErrorKind::internal,
                    "plain_http",
                    "plain http to " + request.url.host() +
                        " is refused; use https, or set ALLOW_PLAIN_HTTP=true on a network you "
                        "trust");
  }
  const Borrowed borrowed(*shared);
  CurlTransfer& transfer = *borrowed;
  transfer.start(request);
  for (;;) {
    if (transfer.begins()) {
      Result<void> begun = request.sink->begin(transfer.status(), transfer.headers());
      if (!begun.ok()) co_return std::move(begun).error();
    } else if (transfer.has_received()) {
      const std::string_view piece = transfer.take();
      Result<void> written = co_await request.sink->write(piece);
      if (!written.ok()) co_return std::move(written).error();
    } else if (transfer.done()) {
      co_return transfer.answer();
    } else if (transfer.wants_body()) {
      const std::span<char> buffer = transfer.body_buffer();
      const Result<std::size_t> got = co_await request.source->read(buffer);
      if (!got.ok()) co_return got.error();
      if (!transfer.give_body(*got)) {
        co_return Error(ErrorKind::corrupt, "body_short", "the body ended before its stated size");
      }
    } else {
      co_await transfer.changed();
    }
  }
}

}  // namespace

Result<std::unique_ptr<HttpClient>> make_http_client(Executor executor, ClientOptions options) {
  std::optional<Error> fault = check_proxy("HTTPS_PROXY", options.https_proxy);
  if (!fault) fault = check_proxy("HTTP_PROXY", options.http_proxy);
  if (fault) return *std::move(fault);
  CurlSettings settings;
  settings.options = std::move(options);
  if (!settings.options.extra_ca_file.empty()) {
    Result<std::unique_ptr<ExtraCa>> loaded = ExtraCa::load(settings.options.extra_ca_file);
    if (!loaded.ok()) return std::move(loaded).error();
    settings.extra_ca = *std::move(loaded);
  }
  return std::unique_ptr<HttpClient>(
      std::make_unique<CurlClient>(std::move(executor), std::move(settings)));
}

}  // namespace pn::http
