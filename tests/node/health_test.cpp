#include "node/health.hpp"

#include "auth/node_session.hpp"
#include "base/json.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "http/types.hpp"
#include "node/node_status.hpp"
#include "node/status_json.hpp"
#include "node/status_server.hpp"

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

namespace pn::node {
namespace {

using namespace std::chrono_literals;

/// A node that waits for work, and nothing is wrong.
struct Healthy {
  HealthFacts facts;
  NodeStatus status;

  Healthy() {
    facts.now = SteadyTime(1h);
    facts.session = auth::SessionState::signed_in;
    facts.token_remaining = 30min;
    facts.asking = true;
    facts.last_answer = facts.now - 5s;
    facts.next_turn_by = facts.now + 20s;
    status.disks = {{.folder = "work", .path = "/w", .free_bytes = 1, .fault = ""}};
    status.clock_skew = 0ms;
  }
  void judge() { node::judge(facts, status); }
};

std::vector<std::string> red(const NodeStatus& status) {
  std::vector<std::string> out;
  for (const Check& check : status.checks) {
    if (!check.ok) out.push_back(check.name);
  }
  return out;
}

struct Fault {
  const char* name;
  const char* check;
  const char* state;
  std::function<void(Healthy&)> happens;
};

OutboxStatus unsent(Millis age) {
  OutboxStatus out;
  out.pending = 3;
  out.oldest = age;
  out.last_error = "503";
  return out;
}

SlotStatus busy() {
  SlotStatus out;
  out.task = TaskId("t");
  return out;
}

}  // namespace

TEST_CASE("health: each fault turns its own check red, and says why", "[node][health]") {
  const Error refused(ErrorKind::unauthorized, "http_401", "the secret is wrong");
  const Error gone(ErrorKind::retry, "curl_connect", "no connection to dms.example");
  const Fault fault = GENERATE_COPY(values<Fault>(
      {{"DMS is down",
        "poll",
        "waiting",
        [=](Healthy& h) {
          h.facts.poll_error = gone;
          h.facts.engine_reasons = {"polling fails"};
        }},
       {"DMS takes neither polls nor the receipt of a task that is done",
        "poll",
        "waiting",
        [=](Healthy& h) {
          SlotStatus done = busy();
          done.lingers = true;
          h.status.slots = 1;
          h.status.busy = {done};
          h.facts.poll_error = gone;
          h.facts.engine_reasons = {"polling fails"};
        }},
       {"sign-in is refused",
        "token",
        "waiting",
        [=](Healthy& h) {
          h.facts.session = auth::SessionState::registered;
          h.facts.session_error = refused;
        }},
       {"DDS is down at the start",
        "token",
        "waiting",
        [=](Healthy& h) {
          h.facts.session = auth::SessionState::registering;
          h.facts.session_error = gone;
        }},
       {"the disk is full",
        "disk",
        "waiting",
        [](Healthy& h) {
          h.status.disks[0].fault = "/w has no room";
          h.facts.engine_reasons = {"/w has no room"};
        }},
       {"the clock is off", "clock", "leasing", [](Healthy& h) { h.status.clock_skew = -10min; }},
       {"the poller hangs",
        "poll",
        "waiting",
        [](Healthy& h) { h.facts.next_turn_by = h.facts.now - 1ms; }},
       {"outcomes are refused again and again",
        "outbox",
        "leasing",
        [](Healthy& h) { h.status.outbox = unsent(2min); }},
       {"outcomes are in memory alone",
        "outbox",
        "leasing",
        [](Healthy& h) { h.status.outbox.durable = false; }},
       {"an operator paused it",
        "pause",
        "paused",
        [](Healthy& h) {
          h.status.pause = Pause{};
          h.facts.engine_reasons = {"paused"};
        }},
       {"it drains", "drain", "draining", [](Healthy& h) {
          h.facts.stopping = true;
          h.facts.engine_reasons = {"drains"};
        }}}));
  INFO(fault.name);
  Healthy node;
  node.judge();
  CHECK(red(node.status).empty());
  CHECK(node.status.state == "leasing");
  CHECK(node.status.reasons.empty());

  fault.happens(node);
  node.judge();
  CHECK(red(node.status) == std::vector<std::string>{fault.check});
  CHECK(node.status.state == fault.state);
  CHECK(node.status.reasons.empty() == (node.status.state == "leasing"));
}

TEST_CASE("health: what is no fault is no red check", "[node][health]") {
  Healthy node;
  SECTION("every slot busy, and the last poll long ago") {
    node.status.busy = {busy()};
    node.facts.last_answer = node.facts.now - 50min;
    node.facts.engine_reasons = {"busy"};
    node.judge();
    CHECK(node.status.state == "full");
  }
  SECTION("the first poll, held by the server") {
    node.facts.last_answer.reset();
    node.judge();
    CHECK(node.status.state == "leasing");
  }
  SECTION("a renewal that fails while the token is good") {
    node.facts.session_error = Error(ErrorKind::retry, "http_503", "DDS is busy");
    node.judge();
    CHECK(node.status.checks[0].detail.find("DDS is busy") != std::string::npos);
    CHECK(node.status.state == "leasing");
  }
  SECTION("an outcome that was refused for good: nothing is to be done but to look") {
    node.status.outbox.set_aside = 1;
    node.judge();
  }
  SECTION("an outcome that failed once") {
    node.status.outbox = unsent(5s);
    node.judge();
  }
  CHECK(red(node.status).empty());
}

TEST_CASE("health: a node that begins is not ready, and says what it waits for", "[node][health]") {
  Healthy node;
  node.facts.session = auth::SessionState::registering;
  node.facts.asking = false;
  node.facts.last_answer.reset();
  node.judge();
  CHECK(node.status.state == "starting");
  CHECK(red(node.status) == std::vector<std::string>{"token", "poll"});
  const Json body = *parse_json(readiness_json(node.status.checks));
  CHECK(body["ready"] == false);
  CHECK(body["checks"][0]["detail"] == "registering");
}

TEST_CASE("health: other sites' pages and names made up for us are not answered",
          "[node][health]") {
  struct Case {
    const char* host;
    const char* origin;
    bool on_loopback;
    bool elsewhere;
  };
  const Case one = GENERATE(values<Case>({{"127.0.0.1:9464", "", true, true},
                                          {"[::1]:9464", "", true, true},
                                          {"localhost:9464", "", true, true},
                                          {"LOCALHOST.evil.example:9464", "", false, true},
                                          {"evil.example:9464", "", false, true},
                                          {"1.2.3.4.evil.example", "", false, true},
                                          {"", "", false, true},
                                          {"localhost:9464", "http://localhost:9464", true, true},
                                          {"localhost:9464", "http://evil.example", false, false},
                                          {"localhost:9464", "null", false, false}}));
  INFO(one.host << " " << one.origin);
  http::Headers headers;
  headers.set("Host", one.host);
  if (*one.origin != '\0') headers.set("Origin", one.origin);
  CHECK(may_answer(headers, true) == one.on_loopback);
  CHECK(may_answer(headers, false) == one.elsewhere);
}

}  // namespace pn::node
