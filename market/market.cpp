#include "market/market.hpp"

#include "auth/jwt.hpp"
#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/ids.hpp"
#include "base/log.hpp"
#include "base/nursery.hpp"
#include "base/offload.hpp"
#include "base/result.hpp"
#include "base/rng.hpp"
#include "http/server.hpp"
#include "http/url.hpp"
#include "market/account_handlers.hpp"
#include "market/bootstrap.hpp"
#include "market/context.hpp"
#include "market/data_folder.hpp"
#include "market/data_service.hpp"
#include "market/database.hpp"
#include "market/dds_handlers.hpp"
#include "market/dms_client_handlers.hpp"
#include "market/dms_node_handlers.hpp"
#include "market/domain_handlers.hpp"
#include "market/file_blobs.hpp"
#include "market/jobs_service.hpp"
#include "market/settings.hpp"
#include "market/sweep_loop.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

namespace pn::market {
namespace {

constexpr std::chrono::seconds kLongestStop{10};

/// Checked, and without a slash at its end.
Result<std::string> checked_url(const std::string& text) {
  const Result<http::Url> url = http::Url::parse(text);
  if (!url.ok()) return within("the public URL", url.error());
  std::string out = text;
  while (!out.empty() && out.back() == '/') out.pop_back();
  return out;
}

}  // namespace

struct Market::Impl {
  Impl(Executor executor,
       Clock& clock,
       Rng& rng,
       log::Logger logger,
       MarketSettings s,
       DataFolder f,
       auth::SigningKey k,
       std::unique_ptr<Database> d)
      : settings(std::move(s)),
        folder(std::move(f)),
        key(std::move(k)),
        database(std::move(d)),
        tokens(key, clock, rng, ""),
        context{.clock = clock,
                .rng = rng,
                .logger = std::move(logger),
                .settings = settings,
                .public_url = public_url,
                .first = first,
                .key = key,
                .database = *database,
                .tokens = tokens},
        files("market-files", 2),
        jobs(context, executor),
        dds(context),
        accounts(context),
        domains(context),
        nodes(context, jobs),
        clients(context, jobs),
        sweep(context, jobs),
        nursery(std::move(executor)) {
    dds.node_changed = [this](const NodeId& node) { jobs.forget_node(node); };
  }

  Result<void> open_blobs() {
    auto opened = FileBlobs::open(folder.blobs(), files, context.rng);
    if (!opened.ok()) return std::move(opened).error();
    blobs = std::move(*opened);
    const DataParts parts{.clock = context.clock,
                          .rng = context.rng,
                          .logger = context.logger,
                          .database = *database,
                          .tokens = tokens,
                          .blobs = *blobs};
    data = std::make_unique<DataService>(parts);
    return {};
  }

  http::Router router() {
    http::Router out;
    dds.add_routes(out);
    accounts.add_routes(out);
    domains.add_routes(out);
    nodes.add_routes(out);
    clients.add_routes(out);
    add_data_routes(out, *data);
    return out;
  }

  /// The public URL is known once the listener has its port.
  Result<void> listen(const Executor& executor) {
    const Result<http::ListenAddress> address = http::parse_listen_address(settings.listen);
    if (!address.ok()) return address.error();
    http::ServerOptions options;
    options.address = address->address;
    options.port = address->port;
    auto listening =
        http::Server::listen(executor, context.clock, context.logger, options, router());
    if (!listening.ok()) return std::move(listening).error();
    server = std::move(*listening);
    const std::string given = settings.public_url.empty()
                                  ? http::local_url(*address, server->port())
                                  : settings.public_url;
    Result<std::string> url = checked_url(given);
    if (!url.ok()) return std::move(url).error();
    public_url = std::move(*url);
    tokens.set_audience(public_url);
    return {};
  }

  Result<void> prepare() {
    Result<Bootstrapped> made =
        bootstrap(*database, context.clock, context.rng, settings.bootstrap, public_url);
    if (!made.ok()) return within("the first credentials", std::move(made).error());
    first = std::move(*made);
    for (const std::string& what : first.changed) {
      context.logger.warn("bootstrap.changed", {{"what", what}});
    }
    return jobs.start();
  }

  /// The server decides when the market ends.
  Awaitable<void> serve() {
    co_await server->run();
    nursery.cancel();
  }

  /// A client that trickles its body would keep the market from coming back; a node that waits for
  /// it loses its leases.
  Awaitable<void> cut_off() {
    const std::chrono::seconds longest = std::min(kLongestStop, settings.lease_ttl / 3);
    co_await context.clock.sleep_for(longest);
    nursery.cancel();
  }

  // Constant after opening.
  MarketSettings settings;
  std::string public_url;
  Bootstrapped first;
  DataFolder folder;
  auth::SigningKey key;

  std::unique_ptr<Database> database;
  Tokens tokens;
  MarketContext context;
  ThreadPool files;
  std::unique_ptr<FileBlobs> blobs;
  std::unique_ptr<DataService> data;
  JobsService jobs;
  DdsHandlers dds;
  AccountHandlers accounts;
  DomainHandlers domains;
  DmsNodeHandlers nodes;
  DmsClientHandlers clients;
  SweepLoop sweep;
  std::unique_ptr<http::Server> server;
  bool stopping = false;
  Nursery nursery;
};

Market::Market(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Market::~Market() = default;

Result<std::unique_ptr<Market>> Market::open(
    Executor executor, Clock& clock, Rng& rng, log::Logger logger, MarketSettings settings) {
  Result<DataFolder> folder = DataFolder::open(settings.data_dir);
  if (!folder.ok()) return std::move(folder).error();
  Result<auth::SigningKey> key = folder->signing_key();
  if (!key.ok()) return std::move(key).error();
  auto database = Database::open(folder->database(), clock, logger, settings.synchronous);
  if (!database.ok()) return std::move(database).error();
  auto impl = std::make_unique<Impl>(executor,
                                     clock,
                                     rng,
                                     std::move(logger),
                                     std::move(settings),
                                     std::move(*folder),
                                     std::move(*key),
                                     std::move(*database));
  Result<void> ready = impl->open_blobs();
  if (ready.ok()) ready = impl->listen(executor);
  if (ready.ok()) ready = impl->prepare();
  if (!ready.ok()) return std::move(ready).error();
  return std::unique_ptr<Market>(new Market(std::move(impl)));
}

std::uint16_t Market::port() const { return impl_->server->port(); }
const std::string& Market::public_url() const { return impl_->public_url; }
const Bootstrapped& Market::bootstrapped() const { return impl_->first; }

Awaitable<void> Market::run() {
  impl_->nursery.spawn("market server", impl_->serve());
  impl_->nursery.spawn("market sweep", impl_->sweep.run());
  impl_->nursery.spawn("market retries", impl_->jobs.release_retries());
  impl_->nursery.spawn("market data clean-up", impl_->data->clean());
  co_await impl_->nursery.join();
}

void Market::request_stop() {
  if (std::exchange(impl_->stopping, true)) return;
  impl_->jobs.stop_waiting();
  impl_->server->request_stop();
  impl_->nursery.spawn("market stop", impl_->cut_off());
}

}  // namespace pn::market
