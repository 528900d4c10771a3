#include "tests/support/child.hpp"
#include "tests/support/market_process.hpp"
#include "tests/support/temp_folder.hpp"

#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <map>
#include <random>
#include <string>
#include <vector>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <signal.h>

// A node that dies at named moments, again and again, with one STATE_DIR; the real marketplace
// keeps the books.

using namespace pn::testing;  // NOLINT(google-build-using-namespace)
using namespace std::chrono_literals;

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

const std::vector<std::string> kPoints{"lease.received",
                                       "lease.recorded",
                                       "heartbeat.sending",
                                       "heartbeat.accepted",
                                       "runner.started",
                                       "input.fetched",
                                       "artifact.uploaded",
                                       "runner.ended",
                                       "outcome.reached",
                                       "outcome.stored",
                                       "receipt.sending",
                                       "receipt.answered",
                                       "journal.written",
                                       "workspace.removed",
                                       "task.over"};
constexpr int kKilled = 128 + SIGKILL;

class Storm {
 public:
  Storm() {
    const Json key = Json::parse(client({"keygen", "--json"}));
    key_ = key["SECP256K1_PRIVHEX"].get<std::string>();
    folder_.write("photo.txt", "an input\n");
  }

  void submit(int tasks) {
    const Json job = Json::parse(client({"job",
                                         "submit",
                                         "--json",
                                         "--capability",
                                         "/noop/v1",
                                         "--count",
                                         std::to_string(tasks),
                                         "--max-attempts",
                                         "100",
                                         "--label",
                                         "storm",
                                         "--input",
                                         folder_.file("photo.txt"),
                                         "--meta",
                                         R"({"output_bytes":5000,"sleep_secs":0})"}));
    job_ = job["job_id"].get<std::string>();
  }

  /// One life of the node, and how it ended. Without a point it lives until the job is done.
  int live(const std::string& point, int slots) {
    Child node(
        {point.empty() ? POSENODE_BINARY : POSENODE_CRASH_BINARY, "run", "--env-file", market_.env},
        {{"PATH", "/usr/bin:/bin"},
         {"SECP256K1_PRIVHEX", key_},
         {"STATE_DIR", folder_.file("node")},
         {"STATUS_ADDR", "127.0.0.1:0"},
         {"ENABLE_NOOP", "true"},
         {"SFM_COLMAP", "/nonexistent/colmap"},
         {"NOOP_SLEEP_SECS", "0"},
         {"MAX_CONCURRENCY", std::to_string(slots)},
         {"POLL_BACKOFF_MS_MIN", "20"},
         {"POLL_BACKOFF_MS_MAX", "50"},
         {"LONG_POLL_SECS", "0"},
         {"DISK_MIN_FREE_MB", "0"},
         {"DISK_MAX_USED_PCT", "100"},
         {"INODE_MAX_USED_PCT", "100"},
         {"LOG_FORMAT", "text"},
         {"POSENODE_CRASH_AT", point}});
    if (!point.empty()) return node.wait(20s).code;
    const auto end = std::chrono::steady_clock::now() + 60s;
    while (job()["job"]["status"] == "running" && std::chrono::steady_clock::now() < end) {
      static_cast<void>(node.wait_for("\x01", 1s));
    }
    node.signal(SIGTERM);
    return node.wait(20s).code;
  }

  Json job() { return Json::parse(client({"job", "show", job_, "--json"})); }
  [[nodiscard]] bool running() { return job()["job"]["status"] != "completed"; }

  /// What the node left on the disk.
  [[nodiscard]] std::uintmax_t left() const {
    std::uintmax_t out = 0;
    for (const auto& entry : fs::recursive_directory_iterator(folder_.path / "node")) {
      if (entry.is_regular_file()) out += entry.file_size();
    }
    return out;
  }

 private:
  std::string client(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), POSENODE_BINARY);
    if (arguments[1] != "keygen") {
      arguments.emplace_back("--env-file");
      arguments.push_back(market_.env);
    }
    Child child(arguments, {{"PATH", "/usr/bin:/bin"}});
    const ChildResult result = child.wait(60s);
    INFO(result.err);
    REQUIRE(result.code == 0);
    return result.out;
  }

  TempFolder folder_;
  MarketProcess market_{
      POSENODE_BINARY,
      folder_,
      {{"LEASE_TTL_SECS", "2"}, {"LOG_LEVEL", "error"}}};  // whose log nobody reads
  std::string key_;
  std::string job_;
};

struct Books {
  std::size_t tasks = 0;
  std::size_t attempts = 0;
  std::size_t lost = 0;
  std::size_t twice = 0;
};

Books books(const Json& job) {
  Books out;
  std::map<std::string, int> completed;
  for (const Json& receipt : job["receipts"]) {
    if (receipt["outcome"] == "completed") ++completed[receipt["task_id"].get<std::string>()];
  }
  for (const Json& task : job["tasks"]) {
    ++out.tasks;
    out.attempts += task["attempts"].get<std::size_t>();
    const int times = completed[task["id"].get<std::string>()];
    if (task["status"] != "completed" || times == 0) ++out.lost;
    if (times > 1) ++out.twice;
  }
  return out;
}

void check(Storm& storm, const char* name, int kills) {
  const Books found = books(storm.job());
  std::printf("outbox_kill9: %s: %d kills, %zu tasks, %zu attempts, %zu lost, %zu accepted twice\n",
              name,
              kills,
              found.tasks,
              found.attempts,
              found.lost,
              found.twice);
  CHECK(found.lost == 0);
  CHECK(found.twice == 0);
  CHECK(storm.left() <= 1024 * 1024);
}

}  // namespace

TEST_CASE("outbox_kill9: a death at every point loses nothing", "[crash][outbox_kill9]") {
  Storm storm;
  const int tasks = static_cast<int>(kPoints.size()) * 4;
  storm.submit(tasks);
  int kills = 0;
  for (const std::string& point : kPoints) {
    for (const char* pass : {":1", ":2"}) {
      INFO(point << pass);
      CHECK(storm.live(point + pass, 2) == kKilled);
      ++kills;
    }
  }
  CHECK(storm.live("", 2) == 0);
  check(storm, "each point twice", kills);
}

TEST_CASE("outbox_kill9: a thousand tasks, a death at random points",
          "[crash][outbox_kill9][.slow]") {
  const auto seed = std::random_device()();
  std::printf("outbox_kill9: seed %u\n", seed);
  std::mt19937 random(seed);
  Storm storm;
  storm.submit(1000);
  int kills = 0;
  while (storm.running()) {
    const std::string& point = kPoints[random() % kPoints.size()];
    const int pass = static_cast<int>(random() % 12) + 1;
    const int code = storm.live(point + ":" + std::to_string(pass), 4);
    if (code != kKilled) break;  // nothing left that could come to the point
    ++kills;
  }
  CHECK(storm.live("", 4) == 0);
  check(storm, "1,000 tasks", kills);
}
