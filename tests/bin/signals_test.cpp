#include "base/json.hpp"
#include "tests/support/child.hpp"
#include "tests/support/fake_marketplace.hpp"
#include "tests/support/market_process.hpp"
#include "tests/support/node_process.hpp"
#include "tests/support/temp_folder.hpp"

#include <chrono>
#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <signal.h>

// How the real binary stops: what a signal does in each phase of a task, and what DMS sees of it.

using namespace pn;           // NOLINT(google-build-using-namespace)
using namespace pn::testing;  // NOLINT(google-build-using-namespace)
using namespace std::chrono_literals;

namespace {

using Answer = FakeMarketplace::Answer;
using Call = FakeMarketplace::Call;

enum class Phase { idle, set_up, running, reporting };

/// A node that has come to a phase, and stays there while the test wants.
struct Stopped : NodeProcess {
  Stopped(Phase phase, std::chrono::milliseconds held_for)
      : NodeProcess(POSENODE_BINARY), hold(held_for) {
    settings["CANCEL_GRACE_SECS"] = "2";
    // A heartbeat or a receipt that is answered late holds the task in its phase.
    if (phase == Phase::set_up) {
      market.on_heartbeat = [this](const Call&) { return held(); };
    }
    market.on_receipt = [this](const Call&) { return held(); };
    if (phase != Phase::idle) offer("t1", phase == Phase::running ? 600 : 0);
    start();
    REQUIRE(turn([&] { return reached(phase); }));
  }

  void offer(const std::string& task, double sleep_secs) {
    market.offer(task, Json::object(), Json{{"meta", {{"sleep_secs", sleep_secs}}}});
  }
  bool reached(Phase phase) {
    switch (phase) {
      case Phase::idle:
        return polls() > 2;
      case Phase::set_up:
        return market.of("/heartbeat").size() == 1;
      case Phase::running:
        // The second: the first was answered, so the runner is on its way.
        return !market.of("/heartbeat").empty() && logged("task.started");
      case Phase::reporting:
        return market.of("/complete").size() == 1;
    }
    return false;
  }
  bool logged(const std::string& event) {
    return child->look().err.find(event) != std::string::npos;
  }
  std::optional<Answer> held() { return Answer{.after = hold}; }
  /// Sends the signals, each when the one before has been taken.
  void signals(int number, int count, bool nothing_to_do) {
    for (int i = 0; i < count && !ended(); ++i) {
      child->signal(number);
      const std::string taken = i == 0 && !nothing_to_do ? "node.draining" : "node.canceling";
      if (i < 2) turn([&] { return ended() || logged(taken); }, 2s);
    }
  }
  [[nodiscard]] std::size_t failed_as(const std::string& reason) const {
    std::size_t count = 0;
    for (const Call& call : market.of("/fail")) {
      if (call.json()["reason"] == reason) ++count;
    }
    return count;
  }

  std::chrono::milliseconds hold;
};

}  // namespace

TEST_CASE("signals: the first drains, the second cancels, the third ends at once",
          "[bin][signals]") {
  struct Row {
    const char* name;
    Phase phase;
    int count;
    int code;
    std::size_t completed;
    std::size_t shut_down;
  };
  const Row row = GENERATE(values<Row>({
      {"idle, 1", Phase::idle, 1, 0, 0, 0},
      {"idle, 2", Phase::idle, 2, 0, 0, 0},
      {"idle, 3", Phase::idle, 3, 0, 0, 0},
      {"set-up, 1", Phase::set_up, 1, 0, 1, 0},
      {"set-up, 2", Phase::set_up, 2, 0, 0, 1},
      {"set-up, 3", Phase::set_up, 3, 4, 0, 0},
      {"running, 1", Phase::running, 1, -1, 0, 0},  // goes on: ten minutes of work
      {"running, 2", Phase::running, 2, 0, 0, 1},
      {"running, 3", Phase::running, 3, 4, 0, 0},
      {"reporting, 1", Phase::reporting, 1, 0, 1, 0},
      {"reporting, 2", Phase::reporting, 2, 0, 1, 0},
      {"reporting, 3", Phase::reporting, 3, 4, 1, 0},
  }));
  const int signal = row.count == 2 ? SIGINT : SIGTERM;
  INFO(row.name);
  // What holds the task outlasts the third signal.
  Stopped node(row.phase, row.count == 3 ? 5s : 200ms);
  node.signals(signal, row.count, row.phase == Phase::idle);
  if (row.code == -1) {
    const std::size_t polls = node.polls();
    CHECK_FALSE(node.turn([&] { return node.ended(); }, 300ms));
    CHECK(node.polls() == polls);  // and leases nothing more
    return;
  }
  const ChildResult end = node.end();
  INFO(end.err);
  CHECK(end.code == row.code);
  if (end.code == 0) {
    CHECK(end.err.find("node.stopped") != std::string::npos);
    CHECK(node.market.of("/complete").size() == row.completed);
  }
  if (end.code == 0) CHECK(node.failed_as("node_shutdown") == row.shut_down);
}

TEST_CASE("signals: a drain needs no fresh token", "[bin][signals]") {
  Stopped node(Phase::reporting, 300ms);
  node.market.on_sign_in = [](const Call&) { return Answer{.status = 503}; };
  node.signals(SIGTERM, 1, false);
  CHECK(node.end().code == 0);
  CHECK(node.market.of("/complete").size() == 1);
}

TEST_CASE("drain_deadline: DMS hears node_shutdown within a second of it",
          "[bin][drain_deadline]") {
  Stopped node(Phase::idle, 0ms);
  node.child.reset();
  node.settings["DRAIN_TIMEOUT_SECS"] = "1";
  node.offer("t1", 600);
  node.start();
  REQUIRE(node.turn([&] { return node.logged("task.started"); }));
  const auto told = std::chrono::steady_clock::now();
  node.child->signal(SIGTERM);
  REQUIRE(node.turn([&] { return node.failed_as("node_shutdown") == 1; }, 5s));
  const auto took = std::chrono::steady_clock::now() - told;
  CHECK(took >= 1s);
  CHECK(took <= 2s);
  CHECK(node.end(2s).code == 0);
}

TEST_CASE("drain_deadline: another node leases the task within five seconds",
          "[bin][drain_deadline]") {
  const TempFolder folder;
  const MarketProcess market(POSENODE_BINARY, folder);
  const auto node = [&](const std::string& name, const char* key) {
    return std::make_unique<Child>(
        std::vector<std::string>{POSENODE_BINARY, "run", "--env-file", market.env},
        std::map<std::string, std::string>{{"PATH", "/usr/bin:/bin"},
                                           {"SECP256K1_PRIVHEX", std::string(63, '0') + key},
                                           {"STATUS_ADDR", "127.0.0.1:0"},
                                           {"STATE_DIR", folder.file(name)},
                                           {"ENABLE_NOOP", "true"},
                                           {"SFM_COLMAP", "/nonexistent/colmap"},
                                           {"DISK_MIN_FREE_MB", "0"},
                                           {"DISK_MAX_USED_PCT", "100"},
                                           {"INODE_MAX_USED_PCT", "100"},
                                           {"LOG_FORMAT", "text"},
                                           {"DRAIN_TIMEOUT_SECS", "1"}});
  };
  const auto eventually = [](Child& child, const std::string& event, std::chrono::seconds limit) {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (child.look().err.find(event) == std::string::npos) {
      if (std::chrono::steady_clock::now() >= end) return false;
      std::this_thread::sleep_for(5ms);
    }
    return true;
  };
  const auto first = node("first", "1");
  Child submit({POSENODE_BINARY,
                "job",
                "submit",
                "--env-file",
                market.env,
                "--capability",
                "/noop/v1",
                "--meta",
                R"({"sleep_secs":600})"},
               {{"PATH", "/usr/bin:/bin"}});
  REQUIRE(submit.wait().code == 0);
  REQUIRE(eventually(*first, "task.started", 10s));
  const auto second = node("second", "2");
  REQUIRE(eventually(*second, "token.issued", 10s));
  first->signal(SIGTERM);
  CHECK(eventually(*second, "task.started", 6s));  // the drain's second, and five
  CHECK(first->wait(5s).code == 0);
  CHECK(second->look().err.find("attempt=2") != std::string::npos);
}
