#include "node/health.hpp"

#include "auth/node_session.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "node/node_status.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace pn::node {
namespace {

using namespace std::chrono_literals;

/// From here on a wall clock is worth a word: as auth does.
constexpr Millis kNotableSkew{30'000};
/// The longest pause between two sends of one outcome: what failed for longer is stuck.
constexpr Millis kOutboxStuck{60'000};

Check red(std::string name, std::string detail) {
  return {.name = std::move(name), .ok = false, .detail = std::move(detail)};
}
Check green(std::string name, std::string detail) {
  return {.name = std::move(name), .ok = true, .detail = std::move(detail)};
}

/// "850 ms", "59 s", "4 min": for a detail one unit is enough.
std::string about(Millis time) {
  if (time < 1s) return std::to_string(time.count()) + " ms";
  if (time < 2min) return std::to_string(time / 1s) + " s";
  if (time < 2h) return std::to_string(time / 1min) + " min";
  return std::to_string(time / 1h) + " h";
}

Check token(const HealthFacts& facts) {
  const std::string failed = facts.session_error ? facts.session_error->detail : "";
  if (facts.session == auth::SessionState::signed_in) {
    std::string text = "signed in";
    if (facts.token_remaining) text += ", for " + about(*facts.token_remaining) + " more";
    if (!failed.empty()) text += "; renewing fails: " + failed;
    return green("token", text);
  }
  const bool registered = facts.session == auth::SessionState::registered;
  if (failed.empty()) return red("token", registered ? "signing in" : "registering");
  std::string text = registered ? "signing in fails: " : "registering fails: ";
  text += failed;
  const ErrorKind kind = facts.session_error->kind;
  if (kind == ErrorKind::unauthorized || kind == ErrorKind::rejected) {
    text += "; check REG_SECRET and SECP256K1_PRIVHEX";
  }
  return red("token", text);
}

Check poll(const HealthFacts& facts, const NodeStatus& status) {
  if (poller_frozen(facts)) {
    const Millis late = std::chrono::duration_cast<Millis>(facts.now - *facts.next_turn_by);
    return red("poll", "the poller hangs since " + about(late) + "; restart the node");
  }
  // Who must not ask needs no answer.
  if (facts.stopping) return green("poll", "asks no more");
  if (status.pause) return green("poll", "paused");
  if (taken_slots(status) >= status.slots) return green("poll", "every slot is busy");
  if (facts.poll_error) return red("poll", "asking for work fails: " + facts.poll_error->detail);
  if (!facts.last_answer) {
    return facts.asking ? green("poll", "asking for the first time") : red("poll", "not asked yet");
  }
  const Millis ago = std::chrono::duration_cast<Millis>(facts.now - *facts.last_answer);
  return green("poll", (facts.asking ? "asking; last answer " : "answered ") + about(ago) + " ago");
}

Check disk(const NodeStatus& status) {
  std::string faults;
  for (const DiskStatus& one : status.disks) {
    if (one.fault.empty()) continue;
    if (!faults.empty()) faults += "; ";
    faults += one.fault;
  }
  return faults.empty() ? green("disk", "enough room") : red("disk", faults);
}

Check clock(const NodeStatus& status) {
  if (!status.clock_skew) return green("clock", "not compared yet");
  const Millis off = std::chrono::abs(*status.clock_skew);
  const std::string text =
      about(off) + (status.clock_skew->count() > 0 ? " behind" : " ahead of") + " the server's";
  if (off < kNotableSkew) return green("clock", off < 1s ? "right" : text);
  return red("clock", "this machine's clock is " + text + "; set it, and keep it by NTP");
}

Check outbox(const NodeStatus& status) {
  const OutboxStatus& box = status.outbox;
  if (!box.durable) {
    return red("outbox",
               "outcomes are in memory alone: STATE_DIR takes no writes" +
                   (box.last_error.empty() ? "" : ": " + box.last_error));
  }
  std::string waiting = std::to_string(box.pending) + " to be sent";
  if (box.oldest) waiting += ", the oldest for " + about(*box.oldest);
  if (box.pending > 0 && !box.last_error.empty() && box.oldest && *box.oldest >= kOutboxStuck) {
    return red("outbox", waiting + ": " + box.last_error);
  }
  if (box.pending > 0) return green("outbox", waiting);
  if (box.set_aside == 0) return green("outbox", "empty");
  return green("outbox", std::to_string(box.set_aside) + " set aside that no server will take");
}

Check pause(const NodeStatus& status) {
  if (!status.pause) return green("pause", "not paused");
  return red("pause",
             status.pause->until ? "paused until " + format_rfc3339(*status.pause->until)
                                 : "paused; end it with posenode resume");
}

std::vector<std::string> reasons(const HealthFacts& facts, const NodeStatus& status) {
  std::vector<std::string> out;
  for (const Check& check : status.checks) {
    const bool counts = check.name == "token" || (check.name == "poll" && poller_frozen(facts));
    if (!check.ok && counts && !facts.stopping) out.push_back(check.detail);
  }
  out.insert(out.end(), facts.engine_reasons.begin(), facts.engine_reasons.end());
  return out;
}

std::string state(const HealthFacts& facts, const NodeStatus& status) {
  if (facts.stopping) return "draining";
  if (status.pause) return "paused";
  if (taken_slots(status) >= status.slots) return "full";
  const bool fault = facts.session_error || facts.poll_error || poller_frozen(facts);
  if (!fault && !facts.last_answer && !facts.asking) return "starting";
  return status.reasons.empty() ? "leasing" : "waiting";
}

}  // namespace

std::size_t taken_slots(const NodeStatus& status) {
  const auto taken = [](const SlotStatus& slot) { return !slot.lingers; };
  return static_cast<std::size_t>(std::ranges::count_if(status.busy, taken));
}

bool poller_frozen(const HealthFacts& facts) {
  return !facts.stopping && facts.next_turn_by && facts.now > *facts.next_turn_by;
}

void judge(const HealthFacts& facts, NodeStatus& status) {
  status.checks = {token(facts),
                   poll(facts, status),
                   disk(status),
                   clock(status),
                   outbox(status),
                   pause(status),
                   facts.stopping ? red("drain",
                                        "draining: " + std::to_string(status.busy.size()) +
                                            " tasks are finished, none is leased")
                                  : green("drain", "not stopping")};
  status.reasons = reasons(facts, status);
  status.state = state(facts, status);
}

}  // namespace pn::node
