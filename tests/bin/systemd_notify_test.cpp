#include "bin/systemd_notify.hpp"

#include "base/file.hpp"
#include "base/json.hpp"
#include "tests/support/child.hpp"
#include "tests/support/node_process.hpp"
#include "tests/support/temp_folder.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <signal.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>
#include <unistd.h>

// What systemd is told, by a socket that stands for it.

using namespace pn;           // NOLINT(google-build-using-namespace)
using namespace pn::testing;  // NOLINT(google-build-using-namespace)
using namespace std::chrono_literals;

namespace {

/// NOTIFY_SOCKET: a path, or an abstract name with "@".
class NotifySocket {
 public:
  explicit NotifySocket(std::string name)
      : name_(std::move(name)),
        fd_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    std::memcpy(at.sun_path, name_.data(), name_.size());
    if (name_.front() == '@') at.sun_path[0] = '\0';
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name_.size() +
                                             (name_.front() == '@' ? 0 : 1));
    REQUIRE(::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&at), size) == 0);
  }
  [[nodiscard]] const std::string& name() const { return name_; }

  const std::vector<std::string>& seen() {
    std::array<char, 4096> buffer{};
    for (;;) {
      const ssize_t got = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
      if (got < 0) return seen_;
      seen_.emplace_back(buffer.data(), static_cast<std::size_t>(got));
    }
  }
  std::size_t count(const std::string& text) {
    const std::vector<std::string>& all = seen();
    return static_cast<std::size_t>(std::count_if(
        all.begin(), all.end(), [&](const std::string& one) { return one.starts_with(text); }));
  }

 private:
  std::string name_;
  UniqueFd fd_;
  std::vector<std::string> seen_;
};

}  // namespace

TEST_CASE("sdnotify: ready, alive, stopping and how it is, each at its time", "[bin][sdnotify]") {
  NodeProcess node(POSENODE_BINARY);
  const bool abstract = GENERATE(false, true);
  const std::string path = node.dir.file("notify.sock");
  NotifySocket systemd(abstract ? "@posenode-" + path : path);
  node.settings["NOTIFY_SOCKET"] = systemd.name();
  node.settings["WATCHDOG_USEC"] = "90000";
  node.market.offer("t1", Json::object(), Json{{"meta", {{"sleep_secs", 0.4}}}});
  node.start();
  REQUIRE(node.turn([&] { return systemd.count("READY=1") == 1; }));
  REQUIRE(node.turn([&] { return !node.market.of("/heartbeat").empty(); }));
  const std::size_t fed = systemd.count("WATCHDOG=1");
  CHECK(node.turn([&] { return systemd.count("WATCHDOG=1") >= fed + 3; }, 1s));
  CHECK(systemd.count("STATUS=full, 1 of 1 slots busy") >= 1);
  CHECK(systemd.count("STOPPING=1") == 0);

  node.child->signal(SIGTERM);
  REQUIRE(node.turn([&] { return systemd.count("STOPPING=1") == 1; }));
  const std::size_t extended = systemd.count("EXTEND_TIMEOUT_USEC=");
  CHECK(node.turn([&] { return systemd.count("EXTEND_TIMEOUT_USEC=") > extended; }, 1s));
  CHECK(node.end().code == 0);
  CHECK(systemd.count("STATUS=draining") >= 1);
  CHECK(systemd.count("READY=1") == 1);
  CHECK(systemd.count("STOPPING=1") == 1);
  CHECK(node.market.of("/complete").size() == 1);
}

TEST_CASE("sdnotify: a start that fails is never ready", "[bin][sdnotify]") {
  NodeProcess node(POSENODE_BINARY);
  NotifySocket systemd(node.dir.file("notify.sock"));
  node.settings["NOTIFY_SOCKET"] = systemd.name();
  node.settings["STATE_DIR"] = "/proc/nowhere";
  node.start();
  CHECK(node.end().code != 0);
  CHECK(systemd.seen().empty());
}

TEST_CASE("sdnotify: nobody is told who did not ask", "[bin][sdnotify]") {
  using bin::systemd_supervisor;
  CHECK_FALSE(systemd_supervisor({}));
  CHECK_FALSE(systemd_supervisor({{"NOTIFY_SOCKET", ""}}));
  CHECK_FALSE(systemd_supervisor({{"NOTIFY_SOCKET", "@"}}));
  CHECK_FALSE(systemd_supervisor({{"NOTIFY_SOCKET", "vsock:2:1"}}));
  CHECK_FALSE(systemd_supervisor({{"NOTIFY_SOCKET", "/" + std::string(200, 'n')}}));
  const std::map<std::string, std::string> asked{{"NOTIFY_SOCKET", "/run/notify"},
                                                 {"WATCHDOG_USEC", "30000000"}};
  CHECK(systemd_supervisor(asked)->watchdog() == 30s);
  std::map<std::string, std::string> others = asked;
  others["WATCHDOG_PID"] = std::to_string(::getpid() + 1);  // not this process
  CHECK_FALSE(systemd_supervisor(others)->watchdog());
  others["WATCHDOG_PID"] = std::to_string(::getpid());
  CHECK(systemd_supervisor(others)->watchdog() == 30s);
  others["WATCHDOG_USEC"] = "soon";
  CHECK_FALSE(systemd_supervisor(others)->watchdog());
}
