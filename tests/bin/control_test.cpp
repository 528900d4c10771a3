#include "base/json.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "bin/status_view.hpp"
#include "bin/terminal.hpp"
#include "tests/support/child.hpp"
#include "tests/support/fake_marketplace.hpp"
#include "tests/support/node_process.hpp"
#include "tests/support/temp_folder.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

// status, drain, pause and resume with the real binary, and a node of it.

using namespace pn;           // NOLINT(google-build-using-namespace)
using namespace pn::testing;  // NOLINT(google-build-using-namespace)
using namespace std::chrono_literals;

namespace {

namespace fs = std::filesystem;

struct Node : NodeProcess {
  Node() : NodeProcess(POSENODE_BINARY) {}

  /// The JSON of an order, which was taken.
  Json order(std::vector<std::string> words) {
    words.emplace_back("--json");
    const ChildResult result = command(std::move(words));
    INFO(result.err);
    REQUIRE(result.code == 0);
    Result<Json> json = parse_json(result.out.substr(0, result.out.size() - 1));
    REQUIRE(json);
    return *std::move(json);
  }
  void start_and_poll() {
    const std::size_t before = polls();
    start();
    REQUIRE(turn([&] { return polls() > before; }));
  }
  [[nodiscard]] Json meta(const Json& value) const { return Json{{"meta", value}}; }
};

/// A text without colours of which no line is longer than the terminal is wide.
void check_fits(const std::string& text, std::size_t width) {
  CHECK(text.find('\x1b') == std::string::npos);
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    INFO(line);
    CHECK(bin::columns(line) <= width);
  }
}

}  // namespace

TEST_CASE("control: a pause survives kill -9, and resume leases again", "[bin][control]") {
  Node node;
  node.start_and_poll();
  const Json paused = node.order({"pause", "--for", "2h"});
  CHECK(paused["state"] == "paused");
  const Result<SystemTime> until = parse_rfc3339(paused["pause"]["until"].get<std::string>());
  REQUIRE(until);
  const SystemTime now = node.clock.system_now();
  CHECK(*until > now + 119min);
  CHECK(*until < now + 121min);

  node.child->signal(SIGKILL);
  CHECK(node.end().code == 137);
  CHECK(fs::exists(node.dir.file("state/control.sock")));  // what the killed one left
  node.market.offer("t1", Json::object(), node.meta({{"sleep_secs", 0}}));
  const std::size_t polls = node.polls();
  node.start();
  Json status;
  REQUIRE(node.turn([&] { return fs::exists(node.dir.file("state/control.sock")); }));
  REQUIRE(node.turn([&] {
    const ChildResult asked = node.command({"status", "--json"});
    if (asked.code == 0) status = *parse_json(asked.out.substr(0, asked.out.size() - 1));
    return asked.code == 0 && status["checks"][0]["ok"] == true;  // signed in
  }));
  CHECK(status["state"] == "paused");
  CHECK(status["ready"] == false);
  CHECK(status["pause"] == paused["pause"]);
  CHECK(node.polls() == polls);
  const ChildResult shown = node.command({"status"});
  CHECK(shown.out.find("paused until " + paused["pause"]["until"].get<std::string>()) !=
        std::string::npos);

  CHECK(node.order({"resume"})["pause"].is_null());
  CHECK(node.turn([&] { return node.market.of("/complete").size() == 1; }));
  CHECK_FALSE(fs::exists(node.dir.file("state/pause.json")));
  node.child->signal(SIGTERM);
  CHECK(node.end().code == 0);
  CHECK_FALSE(fs::exists(node.dir.file("state/control.sock")));
}

TEST_CASE("control: a pause ends by itself, or not before it is told", "[bin][control]") {
  Node node;
  node.start_and_poll();
  CHECK(node.order({"pause"})["pause"]["until"].is_null());
  CHECK(node.order({"pause", "--for", "1s"})["pause"]["until"].is_string());  // the last one counts
  const std::size_t polls = node.polls();
  CHECK(node.turn([&] { return node.polls() > polls + 1; }));
  CHECK(node.order({"status"})["state"] == "leasing");
}

TEST_CASE("control: a drain finishes what runs, and the node ends", "[bin][control]") {
  Node node;
  node.market.offer("t1", Json::object(), node.meta({{"sleep_secs", 0.5}}));
  node.start();
  REQUIRE(node.turn([&] { return node.market.of("/heartbeat").size() == 1; }));
  SECTION("at once") {
    const Json status = node.order({"drain"});
    CHECK(status["state"] == "draining");
    CHECK(status["slots"]["busy"][0]["task_id"] == "t1");
    CHECK(node.end().code == 0);
  }
  SECTION("waiting for it") {
    const ChildResult drained = node.command({"drain", "--wait"});
    CHECK(drained.code == 0);
    CHECK(drained.out == "drained\n");
    CHECK(node.end(1s).code == 0);
  }
  CHECK(node.market.of("/complete").size() == 1);
}

TEST_CASE("control: without a node each command says so in one line, exit code 27",
          "[bin][control]") {
  const std::string command = GENERATE("status", "drain", "pause", "resume");
  const TempFolder folder;
  const bool used_before = GENERATE(false, true);
  if (used_before) {
    folder.write("state/lock", "");
    folder.write("state/control.sock", "");
  }
  Child child({POSENODE_BINARY, command, "--state-dir", folder.file("state")},
              {{"PATH", "/usr/bin:/bin"}});
  const ChildResult said = child.wait();
  CHECK(said.code == 27);
  CHECK(said.out.empty());
  CHECK(said.err.find("no node runs with STATE_DIR=" + folder.file("state")) != std::string::npos);
  CHECK(std::count(said.err.begin(), said.err.end(), '\n') == 1);
}

TEST_CASE("control: a node that has no socket is not called gone", "[bin][control]") {
  Node node;
  // Nothing can be bound there, as where a file system takes no sockets.
  fs::create_directories(node.dir.file("state/control.sock/in-the-way"));
  node.start_and_poll();
  const ChildResult said = node.command({"status"});
  CHECK(said.code == 2);
  CHECK(said.err.find("a node runs with STATE_DIR=" + node.dir.file("state") +
                      " and cannot be asked") != std::string::npos);
  CHECK(said.err.find("control.unavailable") != std::string::npos);
  node.child->signal(SIGTERM);
  CHECK(node.end().code == 0);
  CHECK(node.command({"status"}).code == 27);
}

TEST_CASE("control: a STATE_DIR deeper than a socket's name may be long", "[bin][control]") {
  Node node;
  node.settings["STATE_DIR"] = node.dir.file(std::string(60, 'a') + "/" + std::string(60, 'b'));
  node.start_and_poll();
  CHECK(node.order({"status"})["state"] == "leasing");
}

TEST_CASE("control: another user may not", "[bin][control]") {
  if (::geteuid() != 0) return;  // only root can be another
  Node node;
  node.start_and_poll();
  REQUIRE(::chmod(node.dir.path.c_str(), 0755) == 0);
  REQUIRE(::chmod(node.dir.file("state").c_str(), 0755) == 0);
  struct stat found{};  // NOLINT(misc-include-cleaner): sys/stat.h, by way of bits/
  REQUIRE(::stat(node.dir.file("state/control.sock").c_str(), &found) == 0);
  CHECK((found.st_mode & 0777U) == 0600);
  const std::string as_nobody = "/usr/bin/setpriv";
  const std::vector<std::string> nobody{
      as_nobody, "--reuid=65534", "--regid=65534", "--clear-groups", POSENODE_BINARY};
  std::vector<std::string> words = nobody;
  words.emplace_back("version");
  Child probe(words, {{"PATH", "/usr/bin:/bin"}});
  if (probe.wait().code != 0) return;  // nobody may not reach the binary
  words = nobody;
  words.insert(words.end(), {"drain", "--state-dir", node.dir.file("state")});
  Child other(words, {{"PATH", "/usr/bin:/bin"}});
  const ChildResult denied = other.wait();
  CHECK(denied.code == 2);
  CHECK(denied.err.find("its own user and root") != std::string::npos);
  // A socket that everyone may open still asks who it is.
  REQUIRE(::chmod(node.dir.file("state/control.sock").c_str(), 0777) == 0);
  Child pushed(words, {{"PATH", "/usr/bin:/bin"}});
  CHECK(pushed.wait().code != 0);
  CHECK(node.order({"status"})["state"] == "leasing");
}

TEST_CASE("control: --once does one task and ends with its outcome", "[bin][control]") {
  Node node;
  node.settings["REQUEST_TIMEOUT_SECS"] = "1";
  node.settings["TOKEN_REAUTH_MAX_RETRIES"] = "0";
  node.settings["TOKEN_REAUTH_JITTER_MS"] = "0";
  int code = 0;
  std::size_t polls = 1;
  const auto offer = [&](const Json& meta) {
    node.market.offer("t1", Json::object(), node.meta(meta));
    node.market.offer("t2");  // nobody's, this time
  };
  SECTION("completed") { offer({{"sleep_secs", 0}}); }
  SECTION("failed") {
    offer({{"sleep_secs", 0}, {"fail", "bad_photo"}});
    code = 10;
  }
  SECTION("canceled") {
    offer({{"sleep_secs", 600}});
    node.market.on_heartbeat = [](const FakeMarketplace::Call&) {
      return FakeMarketplace::Answer{.body = R"({"cancel":true})"};
    };
    code = 11;
  }
  SECTION("no work") { code = 27; }
  SECTION("the lease is lost") {
    offer({{"sleep_secs", 600}});
    node.market.on_heartbeat = [](const FakeMarketplace::Call&) {
      return FakeMarketplace::Answer{.status = 404};
    };
    code = 75;
  }
  SECTION("DMS is in trouble") {
    node.market.on_claim = [](const FakeMarketplace::Call&) {
      return FakeMarketplace::Answer{.status = 503};
    };
    polls = 0;
    code = 75;
  }
  SECTION("sign-in is refused") {
    node.market.on_sign_in = [](const FakeMarketplace::Call&) {
      return FakeMarketplace::Answer{.status = 401};
    };
    polls = 0;
    code = 3;
  }
  node.start({"--once"});
  const ChildResult end = node.end();
  INFO(end.err);
  CHECK(end.code == code);
  if (polls > 0) CHECK(node.polls() == polls);
  CHECK(node.market.of("/complete").size() == (code == 0 && polls == 1 ? 1 : 0));
}

TEST_CASE("control: --once of a node that may not register ends with 3", "[bin][control][.slow]") {
  Node node;
  node.settings["REQUEST_TIMEOUT_SECS"] = "1";  // of which it takes some
  node.market.on_register = [](const FakeMarketplace::Call&) {
    return FakeMarketplace::Answer{.status = 401};
  };
  node.start({"--once"});
  CHECK(node.end(20s).code == 3);
}

TEST_CASE("control: times are read as people write them", "[bin][control]") {
  CHECK(bin::parse_span("2h") == 2h);
  CHECK(bin::parse_span("1h30m") == 90min);
  CHECK(bin::parse_span("45s") == 45s);
  CHECK(bin::parse_span("2d") == 48h);
  for (const char* wrong : {"", "0s", "5", "h", "-1h", "1.5h", "1h ", "2 h", "99999999999d"}) {
    CHECK_FALSE(bin::parse_span(wrong));
  }
}

TEST_CASE("control: the status reads well in 80 columns, whatever the texts are",
          "[bin][control]") {
  const std::string words =
      "a long text of somebody else's that goes on and on, with an address "
      "https://example.com/that/cannot/be/broken/at/a/blank/because/it/has/none "
      "and then ends\x1b[31m";
  const Json status{
      {"version", "1.2.3"},
      {"address", "0x66d0d2ea627208a66007befe2854a0c1684db5df"},
      {"dms", "https://dms.example/v1"},
      {"status_url", "http://127.0.0.1:9464/"},
      {"started_at", "2026-11-20T10:00:00Z"},
      {"now", "2026-11-20T13:00:00Z"},
      {"state", "waiting"},
      {"ready", false},
      {"reasons", {words}},
      {"checks", {{{"name", "poll"}, {"ok", false}, {"detail", words}}}},
      {"slots",
       {{"all", 2},
        {"busy",
         {{{"task_id", "t1"},
           {"capability", "/spatial/sfm/v1"},
           {"phase", "cleaning_up"},
           {"age_ms", 90'000},
           {"lease_left_ms", 20'000},
           {"heartbeat_failures", 2},
           {"progress",
            {{"stage", "features"}, {"done", 3}, {"total", 10}, {"unit", "photos"}}}}}}}},
      {"outbox", {{"pending", 2}, {"oldest_ms", 90'000}, {"set_aside", 1}, {"last_error", words}}},
      {"tasks",
       {{{"task_id", "t0"},
         {"capability", "/noop/v1"},
         {"outcome", "failed"},
         {"reason", "bad_photo"},
         {"error", words},
         {"ended_at", "2026-11-20T12:00:00.000Z"},
         {"took_ms", 3000}}}},
      {"disks", Json::array()},
      {"cache",
       {{"path", "/w/cache"}, {"bytes", 5'000'000}, {"max_bytes", 21'474'836'480}, {"hits", 3}}}};
  const std::string text = bin::status_text(status, bin::Terminal{});
  check_fits(text, 80);
  for (const char* wanted : {"posenode 1.2.3, up 3 h\n",
                             "\nwaiting (not ready)\n",
                             "BAD poll    a long",
                             "slots: 1 of 2 busy",
                             "  /spatial/sfm/v1  cleaning up, 90 s, lease 20 s, "
                             "2 heartbeats failed\n    features 3/10 photos\n    task t1\n",
                             "2 to be sent, the oldest for 90 s, 1 set aside",
                             "  cache  4.8 MiB of 20.0 GiB, 3 inputs taken from it, 0 not in it\n"
                             "    /w/cache\n",
                             "failed  /noop/v1, took 3 s\n"
                             "    bad_photo: a long"}) {
    INFO(text);
    CHECK(text.find(wanted) != std::string::npos);
  }
  const std::string coloured =
      bin::status_text(status, bin::Terminal{.tty = true, .colours = true, .width = 80});
  CHECK(coloured.find("\x1b[") != std::string::npos);
  CHECK(bin::status_text(Json::object(), bin::Terminal{}).find("posenode") == 0);
}
