#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/json.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "bin/commands.hpp"
#include "bin/exit_codes.hpp"
#include "bin/node_control.hpp"
#include "bin/status_view.hpp"
#include "bin/terminal.hpp"

#include <chrono>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

// posenode status, drain, pause, resume: what an operator says to a node on this machine.

namespace pn::bin {
namespace {

constexpr Millis kLook{200};

/// The status as JSON, or `line` for people.
int told(const Invocation& invocation, const Json& status, const std::string& line) {
  print(invocation.json ? dump_json(status) + "\n" : line + "\n");
  return kExitOk;
}

Awaitable<int> show_status(const Invocation& invocation, NodeControl& node) {
  const Result<Json> status = co_await node.status();
  if (!status) co_return failed(status.error());
  print(invocation.json ? dump_json(*status) + "\n" : status_text(*status, invocation.out));
  co_return kExitOk;
}

/// Until the node has gone, or another has taken its place.
Awaitable<Result<void>> gone(NodeControl& node, Clock& clock, std::string started_at) {
  for (;;) {
    const Result<Json> status = co_await node.status();
    if (status && text_of(*status, "started_at") != started_at) co_return Result<void>();
    const bool lives = status || status.error().code != "no_node";
    if (!lives) co_return Result<void>();
    co_await clock.sleep_for(kLook);
  }
}

Awaitable<int> drain(const Invocation& invocation, NodeControl& node, Clock& clock, bool wait) {
  const Result<Json> status = co_await node.order("drain", "");
  if (!status) co_return failed(status.error());
  const auto slots = status->find("slots");
  const auto busy = slots != status->end() && slots->contains("busy") ? (*slots)["busy"].size() : 0;
  if (!wait) {
    co_return told(invocation,
                   *status,
                   "draining: the node ends when its " + std::to_string(busy) +
                       " tasks have ended; posenode drain --wait waits for that");
  }
  const Result<void> ended = co_await gone(node, clock, text_of(*status, "started_at"));
  if (!ended) co_return failed(ended.error());
  co_return told(invocation, *status, "drained");
}

Awaitable<int> pause(const Invocation& invocation,
                     NodeControl& node,
                     std::optional<std::chrono::seconds> length) {
  const std::string body =
      length ? "{\"for_secs\":" + std::to_string(length->count()) + "}" : std::string("{}");
  const Result<Json> status = co_await node.order("pause", body);
  if (!status) co_return failed(status.error());
  const auto paused = status->find("pause");
  const std::string until =
      paused != status->end() && paused->is_object() ? text_of(*paused, "until") : "";
  co_return told(invocation,
                 *status,
                 "paused " + (until.empty() ? "until posenode resume" : "until " + until) +
                     "; what runs goes on");
}

Awaitable<int> resume(const Invocation& invocation, NodeControl& node) {
  const Result<Json> status = co_await node.order("resume", "");
  if (!status) co_return failed(status.error());
  co_return told(invocation, *status, "resumed");
}

}  // namespace

int status_command(Invocation invocation, const ControlOptions& options) {
  const auto command = [&](NodeControl& node, Clock&) { return show_status(invocation, node); };
  return run_control(invocation, options.state_dir, command);
}

int drain_command(Invocation invocation, const ControlOptions& options) {
  const auto command = [&](NodeControl& node, Clock& clock) {
    return drain(invocation, node, clock, options.wait);
  };
  return run_control(invocation, options.state_dir, command);
}

int pause_command(Invocation invocation, const ControlOptions& options) {
  std::optional<std::chrono::seconds> length;
  if (!options.length.empty()) {
    length = parse_span(options.length);
    if (!length) {
      complain("--for " + options.length + ": must be a time such as 2h, 30m or 45s");
      return kExitConfiguration;
    }
  }
  const auto command = [&](NodeControl& node, Clock&) { return pause(invocation, node, length); };
  return run_control(invocation, options.state_dir, command);
}

int resume_command(Invocation invocation, const ControlOptions& options) {
  const auto command = [&](NodeControl& node, Clock&) { return resume(invocation, node); };
  return run_control(invocation, options.state_dir, command);
}

}  // namespace pn::bin
