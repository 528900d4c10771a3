#include "base/json.hpp"
#include "tests/support/child.hpp"
#include "tests/support/fake_marketplace.hpp"
#include "tests/support/node_process.hpp"
#include "tests/support/stalled_disk.hpp"

#include <algorithm>
#include <chrono>
#include <string>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <signal.h>

// The real binary on a disk that does not answer any more: it stops all the same.

using namespace pn;           // NOLINT(google-build-using-namespace)
using namespace pn::testing;  // NOLINT(google-build-using-namespace)
using namespace std::chrono_literals;

namespace {

struct OnStalledDisk : NodeProcess {
  StalledDisk disk{dir.path.string(), STALL_FILES};

  OnStalledDisk() : NodeProcess(POSENODE_BINARY) { settings["DRAIN_TIMEOUT_SECS"] = "1"; }
  ~OnStalledDisk() {
    child.reset();  // before the disk, which holds its calls
  }
  OnStalledDisk(const OnStalledDisk&) = delete;
  OnStalledDisk& operator=(const OnStalledDisk&) = delete;

  void run() { child.emplace(disk.command({binary, "run"}), settings); }
  bool logged(const std::string& event) {
    return child->look().err.find(event) != std::string::npos;
  }
  /// Nothing is left of its start that might wait for the disk: all of the task is a timer now.
  bool sleeps() {
    return std::ranges::any_of(market.of("/heartbeat"), [](const FakeMarketplace::Call& call) {
      return call.body.find("\"sleep\"") != std::string::npos;
    });
  }
  void offer(double sleep_secs) {
    market.offer("t1", Json::object(), Json{{"meta", {{"sleep_secs", sleep_secs}}}});
  }
};

bool skipped() {
  if (StalledDisk::possible()) return false;
  WARN("skipped: this kernel has no user notification of seccomp");
  return true;
}

}  // namespace

TEST_CASE("drain_deadline: a dead disk holds the process for seconds, not for ever",
          "[bin][drain_deadline]") {
  if (skipped()) return;
  OnStalledDisk node;
  node.offer(600);
  node.run();
  REQUIRE(node.turn([&] { return node.sleeps(); }));
  node.disk.stall();
  node.child->signal(SIGTERM);
  const auto told = std::chrono::steady_clock::now();
  const ChildResult end = node.end(15s);
  INFO(end.err);
  CHECK(std::chrono::steady_clock::now() - told < 9s);  // 1 s, and 4.5 s
  CHECK(end.code == 75);  // the outcome is neither on disk nor delivered
  CHECK(end.err.find("node.stuck") != std::string::npos);
  CHECK(end.err.find("STATE_DIR") != std::string::npos);
  CHECK(node.market.of("/complete").empty());
}

TEST_CASE("drain_deadline: a dead disk makes no failure of a node that owes nothing",
          "[.slow][bin][drain_deadline]") {
  if (skipped()) return;
  OnStalledDisk node;
  node.run();
  REQUIRE(node.turn([&] { return node.polls() > 2; }));
  node.disk.stall();
  node.child->signal(SIGTERM);
  const ChildResult end = node.end(15s);
  INFO(end.err);
  CHECK(end.code == 0);
  CHECK(end.err.find("node.stuck") != std::string::npos);
}

TEST_CASE("signals: the third ends at once, whatever the disk does", "[bin][signals]") {
  if (skipped()) return;
  OnStalledDisk node;
  node.settings["DRAIN_TIMEOUT_SECS"] = "0";
  node.settings["CANCEL_GRACE_SECS"] = "30";
  SECTION("while a task runs") {
    node.offer(600);
    node.run();
    REQUIRE(node.turn([&] { return node.sleeps(); }));
    node.disk.stall();
    node.child->signal(SIGTERM);
    REQUIRE(node.turn([&] { return node.logged("node.draining"); }));
    node.child->signal(SIGTERM);
    REQUIRE(node.turn([&] { return node.logged("node.canceling"); }));
  }
  SECTION("while nothing is left but to close files") {
    node.run();
    REQUIRE(node.turn([&] { return node.polls() > 2; }));
    node.disk.stall();
    node.child->signal(SIGTERM);
    REQUIRE(node.turn([&] { return node.logged("node.draining") && node.disk.waiting() > 0; }));
    node.child->signal(SIGTERM);
    node.turn([] { return false; }, 200ms);  // two of one kind that wait are one
  }
  node.child->signal(SIGTERM);
  const auto told = std::chrono::steady_clock::now();
  const ChildResult end = node.end(4s);
  INFO(end.err);
  CHECK(end.code == 4);
  CHECK(std::chrono::steady_clock::now() - told < 2s);
}
