#include "node/node.hpp"

#include "auth/node_session.hpp"
#include "auth/wallet.hpp"
#include "base/awaitable.hpp"
#include "base/deadline.hpp"
#include "base/log.hpp"
#include "base/nursery.hpp"
#include "base/offload.hpp"
#include "base/redactor.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "http/server.hpp"
#include "node/config.hpp"
#include "node/engine.hpp"
#include "node/health.hpp"
#include "node/node_impl.hpp"
#include "node/node_status.hpp"
#include "node/pause_file.hpp"
#include "node/supervisor.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace pn::node {
namespace {

constexpr std::chrono::seconds kLastWrites{2};
/// For the last receipts, after the runners have had their grace.
constexpr std::chrono::seconds kLastReceipts{10};
/// The same, past the end of a drain: whoever stops us kills us soon.
constexpr std::chrono::milliseconds kPastDrain{1500};
/// For what is left when all of that is over: a disk that answers needs none of it.
constexpr std::chrono::seconds kTearDown{1};

/// A group as a child of another: ends when the group is empty, and takes it down when cancelled.
Awaitable<void> hold(Nursery& group) { co_await group.join(); }

}  // namespace

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
