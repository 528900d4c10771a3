#include "auth/dds_json.hpp"
#include "auth/node_session.hpp"
#include "auth/wallet.hpp"
#include "base/ids.hpp"
#include "base/log.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "http/server.hpp"
#include "node/config.hpp"
#include "node/control_server.hpp"
#include "node/disk_guard.hpp"
#include "node/dms_client.hpp"
#include "node/engine.hpp"
#include "node/housekeeping.hpp"
#include "node/node.hpp"
#include "node/node_cache.hpp"
#include "node/node_impl.hpp"
#include "node/node_status.hpp"
#include "node/outbox.hpp"
#include "node/pause_file.hpp"
#include "node/status_report.hpp"
#include "node/status_server.hpp"
#include "node/task_run.hpp"
#include "storage/input_cache.hpp"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

// What a node is made of, before any of it runs.

namespace pn::node {
namespace {

std::string joined(const std::vector<Capability>& capabilities) {
  std::string out;
  for (const Capability& capability : capabilities) {
    if (!out.empty()) out += ' ';
    out += capability.str();
  }
  return out;
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

}  // namespace

/// Everything about folders and files, on a pool's thread.
Result<Prepared> Node::Impl::prepare(const Config& config, const log::Logger& logger) {
  Result<OpenedState> state = open_state(config, logger);
  if (!state) return std::move(state).error();
  const Result<std::optional<Pause>> pause = PauseFile::read(config.state_dir);
  if (!pause) return pause.error();
  return Prepared{.state = *std::move(state), .pause = *pause};
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
  standing.status_url = http::local_url(config.status_addr, status_server->port()) + "/";
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

}  // namespace pn::node
