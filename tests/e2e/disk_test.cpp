#include "tests/e2e/scene.hpp"
#include "tests/support/child.hpp"

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include <catch2/catch.hpp>
#include <signal.h>

// The real binary on a real small disk: a tmpfs of 256 MiB, in a name space of its own.

using namespace pn::testing;  // NOLINT(google-build-using-namespace)
using namespace std::chrono_literals;

TEST_CASE("disk_guard: on a tmpfs of 256 MiB nothing is leased below the floor",
          "[e2e][disk_guard]") {
  Child may({"/usr/bin/unshare", "-rm", "/bin/mount", "-t", "tmpfs", "none", "/mnt"},
            {{"PATH", "/usr/bin:/bin"}});
  if (may.wait().code != 0) {
    WARN("skipped: this machine does not let a user mount a tmpfs");
    return;
  }
  Scene scene;
  const std::string disk = scene.folder.file("disk");
  std::filesystem::create_directory(disk);
  // Full but for 56 MiB, for three seconds.
  const std::string script =
      "mount -t tmpfs -o size=256m none \"$1\" && head -c 200M /dev/zero >\"$1/fill\" && "
      "{ (sleep 3; rm \"$1/fill\") & exec \"$2\" run; }";
  scene.start(
      R"({"sleep_secs":0})",
      {"/usr/bin/unshare", "-rm", "/bin/sh", "-c", script, "sh", disk, POSENODE_BINARY},
      {{"DISK_MIN_FREE_MB", "64"}, {"STATE_DIR", disk + "/state"}, {"WORK_DIR", disk + "/work"}});
  REQUIRE(scene.turn([&] { return !scene.market.of("/register-wallet").empty(); }, 10s));
  scene.turn([] { return false; }, 1s);
  CHECK(scene.polls() == 0);
  CHECK(scene.turn([&] { return scene.market.of("/complete").size() == 1; }, 15s));
  scene.node->signal(SIGTERM);
  const ChildResult result = scene.node->wait(20s);
  INFO(result.err);
  CHECK(result.code == 0);
  CHECK(result.err.find("disk.low") != std::string::npos);
  CHECK(result.err.find("disk.recovered") != std::string::npos);
}
