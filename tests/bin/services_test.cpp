#include "base/file.hpp"
#include "base/result.hpp"
#include "tests/support/child.hpp"
#include "tests/support/temp_folder.hpp"

#include <array>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <catch2/catch.hpp>
#include <netinet/in.h>
#include <nlohmann/json.hpp>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

// run, market and dev as the real binary: how they begin, how they refuse to, how they are stopped.

using namespace pn;           // NOLINT(google-build-using-namespace)
using namespace pn::testing;  // NOLINT(google-build-using-namespace)
using namespace std::chrono_literals;

namespace {

namespace fs = std::filesystem;

const std::map<std::string, std::string> kEnvironment{{"PATH", "/usr/bin:/bin"},
                                                      {"SFM_COLMAP", "/nonexistent/colmap"},
                                                      {"DISK_MIN_FREE_MB", "0"},
                                                      {"DISK_MAX_USED_PCT", "100"},
                                                      {"INODE_MAX_USED_PCT", "100"}};

std::vector<std::string> market(const TempFolder& folder, std::vector<std::string> more = {}) {
  std::vector<std::string> out{
      POSENODE_BINARY, "market", "--listen", "127.0.0.1:0", "--data", folder.file("market")};
  out.insert(out.end(), more.begin(), more.end());
  return out;
}

/// What a market started so prints until it serves, and at its stop.
ChildResult started_and_stopped(const std::vector<std::string>& arguments) {
  Child child(arguments, kEnvironment);
  if (child.wait_for("(for --env-file)\n", 20s)) child.signal(SIGTERM);
  return child.wait();
}

std::string text_of(const fs::path& file) {
  const Result<std::string> text = read_file(file, 100'000);
  REQUIRE(text);
  return *text;
}

/// A connection to 127.0.0.1.
UniqueFd connect_to(std::uint16_t port) {
  UniqueFd out(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(::connect(out.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0);
  return out;
}

}  // namespace

TEST_CASE("market: a bad --listen is refused before anything is made", "[bin][market]") {
  const std::string command = GENERATE("market", "dev");
  const TempFolder folder;
  Child child({POSENODE_BINARY, command, "--listen", "nonsense", "--data", folder.file("data")},
              kEnvironment);
  const ChildResult refused = child.wait();
  CHECK(refused.code == 2);
  CHECK(refused.err.find("--listen") != std::string::npos);
  CHECK_FALSE(fs::exists(folder.file("data")));
}

TEST_CASE("market: what a file holds is not printed too", "[bin][market]") {
  const TempFolder folder;
  const std::string file = folder.file("market.env");
  const ChildResult first = started_and_stopped(market(folder, {"--write-env", file}));
  CHECK(first.code == 0);
  const std::string held = text_of(file);
  REQUIRE(held.find("\nREG_SECRET=") != std::string::npos);
  REQUIRE(held.find("\nAPP_SECRET=") != std::string::npos);
  CHECK(first.out.find("REG_SECRET") == std::string::npos);
  CHECK(first.out.find("APP_SECRET") == std::string::npos);
  CHECK(first.out.find("user password") != std::string::npos);  // which no file holds
  CHECK(first.err.find("posenode: ") == std::string::npos);

  // Another file, later: what only hashes are left of is missing there, and that is said.
  const std::string other = folder.file("other.env");
  const ChildResult second = started_and_stopped(market(folder, {"--write-env", other}));
  CHECK(text_of(other).find("REG_SECRET") == std::string::npos);
  CHECK(second.err.find("other.env has no REG_SECRET") != std::string::npos);
  CHECK(second.err.find("MARKET_BOOTSTRAP_APP_SECRET") != std::string::npos);
}

TEST_CASE("market: secrets are not lost where --write-env cannot be written", "[bin][market]") {
  const TempFolder folder;
  REQUIRE(write_file(folder.file("file"), "").ok());
  Child child(market(folder, {"--write-env", folder.file("file/market.env")}), kEnvironment);
  const ChildResult refused = child.wait();
  CHECK(refused.code != 0);
  CHECK(refused.err.find("--write-env") != std::string::npos);
  for (const char* name : {"REG_SECRET", "APP_SECRET", "user password"}) {
    INFO(name);
    CHECK(refused.out.find(name) != std::string::npos);
  }
}

TEST_CASE("market: the first signal waits for what is under way, the second does not",
          "[bin][market]") {
  const TempFolder folder;
  Child child(market(folder, {"--json"}), kEnvironment);
  REQUIRE(child.wait_for("}\n", 20s));
  const auto port = nlohmann::json::parse(child.seen().out)["port"].get<std::uint16_t>();
  const UniqueFd client = connect_to(port);
  REQUIRE(write_all(client.get(),
                    "POST /user/login HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                    "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n")
              .ok());
  std::array<char, 256> buffer{};
  REQUIRE(read_some(client.get(), buffer).value_or(0) > 0);  // the market reads the body now
  child.signal(SIGINT);
  CHECK_FALSE(child.wait_for("this never comes", 1s));  // a second, or the end of its output
  // NOLINTBEGIN(misc-include-cleaner): sys/wait.h, by way of bits/
  siginfo_t ended_early{};
  const auto id = static_cast<id_t>(child.pid());
  REQUIRE(::waitid(P_PID, id, &ended_early, WEXITED | WNOHANG | WNOWAIT) == 0);
  CHECK(ended_early.si_pid == 0);
  // NOLINTEND(misc-include-cleaner)
  child.signal(SIGTERM);
  const ChildResult ended = child.wait(20s);
  CHECK(ended.code == 0);
}

TEST_CASE("services: a fault of the machine is no fault of the configuration", "[bin][exit]") {
  const TempFolder folder;
  SECTION("no byte can be written") {
    const std::string command = GENERATE("market", "dev");
    Child child({"/bin/sh",
                 "-c",
                 R"(trap '' XFSZ; ulimit -f 0; exec "$0" "$1" --listen 127.0.0.1:0 --data "$2")",
                 POSENODE_BINARY,
                 command,
                 folder.file("data")},
                kEnvironment);
    const ChildResult refused = child.wait();
    INFO(refused.err);
    CHECK(refused.code == 1);
  }
  SECTION("a node's lock cannot be opened") {
    fs::create_directory(folder.file("state"));
    fs::create_symlink("lock", folder.file("state/lock"));
    Child child({POSENODE_BINARY, "run"},
                {{"PATH", "/usr/bin:/bin"},
                 {"ENABLE_NOOP", "true"},
                 {"REG_SECRET", "x"},
                 {"SECP256K1_PRIVHEX", std::string(63, '0') + "1"},
                 {"STATUS_ADDR", "127.0.0.1:0"},
                 {"STATE_DIR", folder.file("state")},
                 {"WORK_DIR", folder.file("work")}});
    const ChildResult refused = child.wait();
    INFO(refused.err);
    CHECK(refused.code == 1);
  }
}

TEST_CASE("dev: credentials that lack something are named", "[bin][dev]") {
  const TempFolder folder;
  fs::create_directory(folder.file("dev"));
  REQUIRE(write_file(folder.file("dev/credentials.env"), "MARKET_BOOTSTRAP_DOMAIN=dev\n").ok());
  Child child({POSENODE_BINARY, "dev", "--listen", "127.0.0.1:0", "--data", folder.file("dev")},
              kEnvironment);
  const ChildResult refused = child.wait();
  CHECK(refused.code == 2);
  CHECK(refused.err.find("credentials.env holds no SECP256K1_PRIVHEX") != std::string::npos);
}

TEST_CASE("services: no program of the same user can read the keys", "[bin][security]") {
  const std::string command = GENERATE("run", "market", "dev");
  const TempFolder folder;
  // Root can read everything: as root, another user does it.
  const bool root = ::geteuid() == 0;
  REQUIRE(::chmod(folder.path.c_str(), 0777) == 0);
  std::vector<std::string> arguments;
  if (root) {
    arguments = {"/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"};
    std::vector<std::string> asked = arguments;
    asked.insert(asked.end(), {POSENODE_BINARY, "version"});
    Child probe(asked, {{"PATH", "/usr/bin:/bin"}});
    if (probe.wait().code != 0) return;  // the other user may not reach the binary
  }
  arguments.insert(arguments.end(), {POSENODE_BINARY, command});
  if (command != "run") {
    arguments.insert(arguments.end(), {"--listen", "127.0.0.1:0", "--data", folder.file("data")});
  }
  Child child(arguments,
              {{"PATH", "/usr/bin:/bin"},
               {"ENABLE_NOOP", "true"},
               {"DDS_BASE_URL", "http://127.0.0.1:1"},
               {"DMS_BASE_URL", "http://127.0.0.1:1/v1"},
               {"REG_SECRET", "x"},
               {"SECP256K1_PRIVHEX", std::string(63, '0') + "1"},
               {"STATUS_ADDR", "127.0.0.1:0"},
               {"STATE_DIR", folder.file("state")},
               {"WORK_DIR", folder.file("work")}});
  const std::string sign = command == "run" ? "node.started" : "127.0.0.1:";
  const auto end = std::chrono::steady_clock::now() + 20s;
  const auto said = [&] {
    return child.seen().out.find(sign) != std::string::npos ||
           child.seen().err.find(sign) != std::string::npos;
  };
  while (!said() && std::chrono::steady_clock::now() < end) child.wait_for(sign, 1s);
  REQUIRE(said());
  const std::string environ_file = "/proc/" + std::to_string(child.pid()) + "/environ";
  struct stat status{};  // NOLINT(misc-include-cleaner): sys/stat.h, by way of bits/
  REQUIRE(::stat(environ_file.c_str(), &status) == 0);
  CHECK(status.st_uid == 0);
  if (!root) CHECK_FALSE(open_read(environ_file));
  child.signal(SIGTERM);
  CHECK(child.wait().code == 0);
}
