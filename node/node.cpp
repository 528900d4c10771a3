#include "node/node.hpp"

#include "auth/dds_json.hpp"
#include "auth/node_session.hpp"
#include "auth/wallet.hpp"
#include "base/awaitable.hpp"
#include "base/deadline.hpp"
#include "base/event.hpp"
#include "base/ids.hpp"
#include "base/log.hpp"
#include "base/nursery.hpp"
#include "base/offload.hpp"
#include "base/redactor.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "http/server.hpp"
#include "node/config.hpp"
#include "node/control_server.hpp"
#include "node/dms_client.hpp"
#include "node/engine.hpp"
#include "node/health.hpp"
#include "node/housekeeping.hpp"
#include "node/metrics.hpp"
#include "node/node_cache.hpp"
#include "node/node_status.hpp"
#include "node/outbox.hpp"
#include "node/pause_file.hpp"
#include "node/state_journal.hpp"
#include "node/status_report.hpp"
#include "node/status_server.hpp"
#include "node/storage_ports.hpp"
#include "node/supervisor.hpp"
#include "node/task_run.hpp"
#include "storage/input_cache.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/this_coro.hpp>

namespace pn::node {
namespace {

constexpr std::chrono::seconds kLastWrites{2};
/// For the last receipts, after the runners have had their grace.
constexpr std::chrono::seconds kLastReceipts{10};
/// The same, past the end of a drain: whoever stops us kills us soon.
constexpr std::chrono::milliseconds kPastDrain{1500};
/// For what is left when all of that is over: a disk that answers needs none of it.
constexpr std::chrono::seconds kTearDown{1};

std::string joined(const std::vector<Capability>& capabilities) {
  std::string out;
  for (const Capability& capability : capabilities) {
    if (!out.empty()) out += ' ';
    out += capability.str();
  }
  return out;
}

/// Where a browser on this machine finds what listens there.
std::string local_url(const http::ListenAddress& listen, std::uint16_t port) {
  std::string host = listen.address;
  if (host.empty() || host == "0.0.0.0" || host == "::") host = "127.0.0.1";
  if (host.find(':') != std::string::npos) host = "[" + host + "]";
  return "http://" + host + ":" + std::to_string(port) + "/";
}

DmsOptions dms_options(const Config& config) {
  DmsOptions out(config.dms_base_url);
  out.request_timeout = config.request_timeout;
  return out;
}

auth::SessionSettings session_settings(const Config& config) {
  auth::SessionSettings out;
  out.request_timeout = config.request_timeout;
  out.token.safety_ratio = config.token_safety_ratio;
  out.token.max_retries = config.token_reauth_max_retries;
  out.token.jitter = config.token_reauth_jitter;
  out.registration.interval = config.register_interval;
  out.registration.max_retry = config.register_max_retry;
  return out;
}

/// A group as a child of another: ends when the group is empty, and takes it down when cancelled.
Awaitable<void> hold(Nursery& group) { co_await group.join(); }

struct Prepared {
  OpenedState state;
  std::optional<Pause> pause;
};

/// Everything about folders and files, on a pool's thread.
Result<Prepared> prepare(const Config& config, const log::Logger& logger) {
  Result<OpenedState> state = open_state(config, logger);
  if (!state) return std::move(state).error();
  const Result<std::optional<Pause>> pause = PauseFile::read(config.state_dir);
  if (!pause) return pause.error();
  return Prepared{.state = *std::move(state), .pause = *pause};
}

}  // namespace

struct Node::Impl final : NodeOrders {
  Impl(NodeParts p, Config c, RunMode m)
      : parts(std::move(p)),
        config(std::move(c)),
        mode(m),
        pause_file(config.state_dir),
        wake(parts.control),
        leaving(parts.control),
        working(parts.control),
        services(parts.control),
        children(parts.control),
        all(parts.control) {}

  Awaitable<Result<void>> run();
  Result<void> build(auth::Wallet wallet);
  Result<void> open_doors();
  SpaceProbe build_cache();
  void start_services();
  Awaitable<void> lease_and_work();
  Awaitable<void> work();
  Awaitable<void> watch_stop();
  Awaitable<void> live();
  Awaitable<void> watch_end();
  void leave_by(Deadline when);
  void log_start() const;
  [[nodiscard]] Vitals vitals() const;

  NodeStatus status() override { return report->status(); }
  void drain() override;
  Awaitable<Result<void>> pause(std::optional<SystemTime> until) override;
  Awaitable<Result<void>> resume() override;

  const NodeParts parts;
  const Config config;
  const RunMode mode;
  PauseFile pause_file;

  bool stop_wanted = false;
  bool cancel_wanted = false;
  bool forced = false;  // the runners did not end in their time
  NodeStanding standing;
  Metrics metrics;
  std::optional<Prepared> prepared;
  std::optional<auth::NodeSession> session;
  std::optional<DmsClient> dms;
  std::optional<StateJournal> journal;
  std::optional<Outbox> outbox;
  std::optional<CacheRoom> cache_room;
  std::optional<Housekeeping> housekeeping;
  std::optional<StoragePorts> ports;
  std::optional<TaskParts> task_parts;
  std::optional<Engine> engine;
  std::optional<StatusReport> report;
  std::unique_ptr<http::Server> status_server;
  std::unique_ptr<http::Server> control_server;
  Event wake;
  Deadline gone_by;  // past which we are stuck
  bool over = false;
  Event leaving;

  Nursery working;   // the engine alone, so that it can be ended by itself
  Nursery services;  // what lives as long as the engine
  Nursery children;
  Nursery all;
};

Awaitable<Result<void>> Node::Impl::run() {
  if (parts.registry.empty()) {
    co_return Error(ErrorKind::rejected,
                    "no_capability",
                    "there is no capability to run: install COLMAP (or name it with SFM_COLMAP), "
                    "or set ENABLE_NOOP=true");
  }
  Result<auth::Wallet> wallet = auth::Wallet::from_hex(config.private_key);
  if (!wallet) co_return within("SECP256K1_PRIVHEX", std::move(wallet).error());

  const Config& settings = config;
  const log::Logger& logger = parts.logger;
  const auto preparing = [&settings, &logger] { return prepare(settings, logger); };
  Result<Prepared> ready = co_await offload(parts.io, preparing);
  if (!ready) co_return std::move(ready).error();
  prepared.emplace(*std::move(ready));

  const Result<void> built = build(*std::move(wallet));
  if (!built) co_return built.error();
  log_start();

  start_services();
  working.spawn("engine", lease_and_work());
  children.spawn("services", hold(services));
  children.spawn("work", work());
  all.spawn("node", live());
  all.spawn("end", watch_end());
  co_await all.join();
  parts.logger.info("node.stopped");
  co_return Result<void>();
}

Awaitable<void> Node::Impl::live() {
  co_await children.join();
  over = true;
  leaving.set();
}

/// Work on a pool's thread cannot be cut short, and whoever awaits it neither: a disk that does not
/// answer would keep us for ever.
Awaitable<void> Node::Impl::watch_end() {
  while (!over && !gone_by.passed(parts.clock)) co_await leaving.wait_until(parts.clock, gone_by);
  if (over || !parts.stuck) co_return;
  Stuck stuck{.kept = outbox->kept(), .waits_for = {}};
  if (parts.io.busy() > 0) {
    stuck.waits_for = std::to_string(parts.io.busy()) +
                      " reads or writes of files that do not end: see the disks of STATE_DIR (" +
                      config.state_dir.string() + ") and WORK_DIR (" + config.work_dir.string() +
                      ")";
  } else if (parts.compute.busy() > 0) {
    stuck.waits_for = "a runner's work that cannot be cut short";
  } else if (engine->busy() > 0) {
    stuck.waits_for = "a runner that does not end, or what it awaits";
  } else {
    stuck.waits_for = "what it has open to be closed";
  }
  parts.stuck(stuck);
}

void Node::Impl::leave_by(Deadline when) {
  gone_by = gone_by.sooner(when);
  leaving.set();
}

void Node::Impl::start_services() {
  services.spawn("session", session->run());
  services.spawn("status", status_server->run());
  if (control_server) services.spawn("control", control_server->run());
  services.spawn("journal", journal->run());
  services.spawn("outbox", outbox->run());
  services.spawn("housekeeping", housekeeping->run());
  services.spawn("stop", watch_stop());
  if (parts.supervisor == nullptr) return;
  parts.supervisor->ready();
  const auto look = [this] { return vitals(); };
  services.spawn("supervisor", supervise(*parts.supervisor, parts.clock, look));
}

/// Where it is reached: the status address, and the socket in STATE_DIR.
Result<void> Node::Impl::open_doors() {
  const StatusSource source{.status = [this] { return report->status(); },
                            .metrics = [this] { return report->metrics(); }};
  auto server =
      make_status_server(parts.control, parts.clock, parts.logger, config.status_addr, source);
  if (!server) return std::move(server).error();
  status_server = *std::move(server);
  standing.started_at = parts.clock.system_now();
  standing.status_url = local_url(config.status_addr, status_server->port());
  auto control =
      make_control_server(parts.control, parts.clock, parts.logger, config.state_dir, *this);
  if (control) {
    control_server = *std::move(control);
  } else {
    // Some network and FUSE file systems have no sockets; the work and the status page go on.
    parts.logger.warn("control.unavailable", {log::field(control.error())});
  }
  return {};
}

Result<void> Node::Impl::build(auth::Wallet wallet) {
  Result<void> opened = open_doors();
  if (!opened) return opened;

  auth::Registration registration;
  registration.secret = config.reg_secret;
  registration.version = config.node_version;
  registration.capabilities = parts.registry.capabilities();
  session.emplace(
      parts.control,
      parts.clock,
      parts.rng,
      parts.control_http,
      config.dds_base_url,
      auth::NodeIdentity{.wallet = std::move(wallet), .registration = std::move(registration)},
      session_settings(config),
      parts.logger);
  dms.emplace(parts.control_http, *session, parts.clock, parts.rng, dms_options(config));
  journal.emplace(parts.control, parts.io, parts.clock, parts.logger, *prepared->state.database);
  outbox.emplace(OutboxParts{.control = parts.control,
                             .journal = *journal,
                             .dms = *dms,
                             .clock = parts.clock,
                             .rng = parts.rng,
                             .metrics = metrics,
                             .logger = parts.logger},
                 config.outbox_max_age);
  outbox->adopt(std::exchange(prepared->state.rows, {}));
  const SpaceProbe space = build_cache();
  housekeeping.emplace(Housekeeping::Parts{.io = parts.io,
                                           .clock = parts.clock,
                                           .config = config,
                                           .database = *prepared->state.database,
                                           .uploads = *prepared->state.uploads,
                                           .cache = cache_room ? &*cache_room : nullptr,
                                           .logger = parts.logger});
  storage::InputCache* const cache = prepared->state.cache.get();
  ports.emplace(parts, config, *prepared->state.uploads, cache);
  task_parts.emplace(TaskParts{.control = parts.control,
                               .transfer = parts.transfer,
                               .compute = parts.compute,
                               .io = parts.io,
                               .clock = parts.clock,
                               .rng = parts.rng,
                               .dms = *dms,
                               .outbox = *outbox,
                               .ports = *ports,
                               .registry = parts.registry,
                               .config = config,
                               .metrics = metrics,
                               .logger = parts.logger});
  engine.emplace(*task_parts, mode, space);
  report.emplace(StatusReport::Parts{.clock = parts.clock,
                                     .config = config,
                                     .session = *session,
                                     .dms = *dms,
                                     .engine = *engine,
                                     .outbox = *outbox,
                                     .metrics = metrics,
                                     .cache = cache,
                                     .standing = standing});
  const std::optional<Pause>& paused = prepared->pause;
  if (paused && (!paused->until || *paused->until > parts.clock.system_now())) {
    engine->pause(paused->until);
  }
  return {};
}

/// How space is looked at: where there is a cache, it gives way first.
SpaceProbe Node::Impl::build_cache() {
  if (prepared->state.cache_fault) {
    parts.logger.warn("cache.unavailable", {log::field(*prepared->state.cache_fault)});
  }
  if (!prepared->state.cache) return parts.space;
  cache_room.emplace(CacheRoom::Parts{.cache = *prepared->state.cache,
                                      .config = config,
                                      .logger = parts.logger,
                                      .probe = parts.space});
  return [this](const std::filesystem::path& path) { return cache_room->probe(path); };
}

void Node::Impl::log_start() const {
  parts.logger.info("node.started",
                    {{"version", config.node_version},
                     {"address", session->address().str()},
                     {"dms", config.dms_base_url.str()},
                     {"dds", config.dds_base_url.str()},
                     {"status", standing.status_url},
                     {"capabilities", joined(parts.registry.capabilities())},
                     {"slots", config.max_concurrency},
                     {"state_dir", config.state_dir.string()}});
  if (engine->paused()) {
    const std::optional<SystemTime> until = engine->paused_until();
    parts.logger.info("node.paused", {{"until", until ? format_rfc3339(*until) : "resumed"}});
  }
}

/// What the last life has to say of its tasks goes first.
Awaitable<void> Node::Impl::lease_and_work() {
  co_await outbox->replayed();
  co_await engine->run();
}

Vitals Node::Impl::vitals() const {
  const NodeStatus now = report->status();
  Vitals out;
  // What outlives even the forced end hangs: no word more, so that who started us may kill us.
  out.alive = !forced && !poller_frozen(report->facts());
  out.stopping = stop_wanted && !forced;
  out.line = now.state + ", " + std::to_string(taken_slots(now)) + " of " +
             std::to_string(now.slots) + " slots busy";
  if (!now.reasons.empty() && now.state != "full") out.line += ": " + now.reasons.front();
  parts.logger.redactor().apply(out.line);
  return out;
}

void Node::Impl::drain() {
  stop_wanted = true;
  standing.stopping = true;
  wake.set();
}

Awaitable<Result<void>> Node::Impl::pause(std::optional<SystemTime> until) {
  engine->pause(until);
  parts.logger.info("node.paused", {{"until", until ? format_rfc3339(*until) : "resumed"}});
  const std::optional<Pause> wanted(Pause{.until = until});
  Result<void> kept = co_await pause_file.keep(parts.io, wanted);
  co_return kept;
}

Awaitable<Result<void>> Node::Impl::resume() {
  engine->resume();
  parts.logger.info("node.resumed");
  Result<void> kept = co_await pause_file.keep(parts.io, std::nullopt);
  co_return kept;
}

Awaitable<void> Node::Impl::work() {
  co_await working.join();
  leave_by(Deadline::in(parts.clock, kLastWrites + kTearDown));
  // What it has left to write is of use to the next start, and no reason to hang on a dead disk.
  Awaitable<Result<void>> flushing = journal->flush();
  const Deadline limit = Deadline::in(parts.clock, kLastWrites);
  const Result<void> flushed =
      co_await with_deadline<void>(parts.clock, limit, std::move(flushing));
  if (!flushed) parts.logger.warn("outbox.not_flushed", {log::field(flushed.error())});
  services.cancel();
}

Awaitable<void> Node::Impl::watch_stop() {
  while (!stop_wanted) co_await wake.wait();
  parts.logger.info("node.draining",
                    {{"busy", engine->busy()}, {"limit_ms", Millis(config.drain_timeout).count()}});
  engine->request_stop();
  const Deadline drained = config.drain_timeout.count() > 0
                               ? Deadline::in(parts.clock, config.drain_timeout)
                               : Deadline();
  // The grace of a runner is cut to what is left of the drain.
  if (drained.reachable() && parts.runners_end_by) parts.runners_end_by(drained.at());
  while (!cancel_wanted && !drained.passed(parts.clock)) {
    co_await wake.wait_until(parts.clock, drained);
  }
  parts.logger.warn("node.canceling", {{"busy", engine->busy()}});
  engine->cancel_tasks();
  SteadyTime end = parts.clock.steady_now() + config.cancel_grace + kLastReceipts;
  if (drained.reachable()) end = std::min(end, drained.at() + kPastDrain);
  co_await parts.clock.sleep_until(end);
  forced = true;
  parts.logger.error("node.forced", {{"busy", engine->busy()}});
  leave_by(Deadline::in(parts.clock, kLastWrites + kTearDown));
  working.cancel();
}

Node::Node(NodeParts parts, Config config, RunMode mode)
    : impl_(std::make_unique<Impl>(std::move(parts), std::move(config), mode)) {}
Node::~Node() = default;

Awaitable<Result<void>> Node::run() { return impl_->run(); }

void Node::request_stop() { impl_->drain(); }

void Node::cancel_tasks() {
  impl_->cancel_wanted = true;
  request_stop();
}

RunEnd Node::end() const {
  if (!impl_->engine) return RunEnd::drained;
  const RunEnd end = impl_->engine->end();
  if (end != RunEnd::unreachable) return end;
  // The engine only sees that no token comes; why, the session knows.
  const std::optional<Error> why = impl_->session->status().last_error;
  const bool refused =
      why && (why->kind == ErrorKind::unauthorized || why->kind == ErrorKind::rejected);
  return refused ? RunEnd::refused : end;
}

std::uint16_t Node::status_port() const {
  return impl_->status_server ? impl_->status_server->port() : 0;
}

std::size_t Node::busy_slots() const { return impl_->engine ? impl_->engine->busy() : 0; }

}  // namespace pn::node
