#include "base/digest.hpp"
#include "base/json.hpp"
#include "http/server.hpp"
#include "http/types.hpp"
#include "tests/storage/fake_domain_server.hpp"
#include "tests/support/fake_marketplace.hpp"
#include "tests/support/node_process.hpp"
#include "tests/support/test_loop.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <optional>
#include <string>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <signal.h>

// The real binary with its journal on disk, ended in the middle of an upload in parts, and started
// again: what comes at the domain server.

using namespace pn::testing;  // NOLINT(google-build-using-namespace)
using namespace std::chrono_literals;

namespace {

constexpr int kParallel = 4;

/// Bytes [from, to) of the noop runner's artifact: each 4 KiB are filled with their own number.
/// `from` is where such a block begins.
std::string noop_bytes(std::uint64_t from, std::uint64_t to) {
  std::string out;
  out.reserve(to - from);
  for (std::uint64_t number = from / 4096; out.size() < to - from; ++number) {
    std::string word;
    for (int i = 0; i < 8; ++i) word.push_back(static_cast<char>(number >> (8 * i) & 0xff));
    for (int i = 0; i < 4096 / 8; ++i) out += word;
  }
  out.resize(to - from);
  return out;
}

struct Scene {
  TestLoop loop;
  FakeDomainServer server{loop};
  NodeProcess node{POSENODE_BINARY};
  std::uint64_t size = 0;
  std::string seen_err;

  Scene(std::uint64_t part_size, std::uint64_t parts) : size(part_size * parts - part_size / 2) {
    server.part_size = part_size;
    node.settings["UPLOAD_PARALLEL"] = std::to_string(kParallel);
  }
  Scene(const Scene&) = delete;
  Scene& operator=(const Scene&) = delete;
  ~Scene() { node.child.reset(); }

  void start(int attempt) {
    const pn::Json more{
        {"access_token", "t1"}, {"domain_id", "d1"}, {"domain_server_url", server.url().str()}};
    const pn::Json task{{"attempts", attempt},
                        {"meta", {{"sleep_secs", 0}, {"output_bytes", size}}}};
    node.market.offer("t1", more, task);
    node.start();
  }
  /// Both sides of the node, on this thread.
  bool turn(const std::function<bool()>& done, std::chrono::milliseconds limit = 20s) {
    const auto both = [&] {
      loop.poll();
      return done();
    };
    return node.turn(both, limit);
  }
  /// Its end, with both sides turning meanwhile.
  int end() {
    turn([this] { return node.ended(); });
    const ChildResult result = node.child->wait(1s);
    seen_err += result.err;
    return result.code;
  }
  /// Once, in the middle of the part that makes it half.
  void at_half(const std::function<void()>& act) {
    server.fault =
        [this,
         act](const pn::http::ServerRequest& request) -> std::optional<pn::http::ServerResponse> {
      const bool half = request.has_query("partNumber") && server.part_bytes >= size / 2;
      if (half && !acted) {
        acted = true;
        act();
      }
      return std::nullopt;
    };
  }
  bool acted = false;

  [[nodiscard]] bool completed() const { return !node.market.of("/complete").empty(); }
  [[nodiscard]] int aborts() const { return server.count("DELETE /data/multipart"); }
  [[nodiscard]] std::string stored() const {
    return server.items.size() == 1 ? server.items.begin()->second.bytes : "not one record";
  }
};

}  // namespace

TEST_CASE("upload_resume: a node that is killed in an upload sends what is missing",
          "[e2e][upload_resume]") {
  Scene scene(64 * 1024, 48);
  scene.at_half([&] { scene.node.child->signal(SIGKILL); });
  scene.start(1);
  REQUIRE(scene.turn([&] { return scene.acted; }));
  CHECK(scene.end() == 128 + SIGKILL);
  REQUIRE(scene.server.uploads.size() == 1);

  scene.start(2);
  REQUIRE(scene.turn([&] { return scene.completed(); }));
  CHECK(scene.stored() == noop_bytes(0, scene.size));
  // At most one part a worker has come twice.
  CHECK(scene.server.part_bytes <= scene.size + kParallel * scene.server.part_size);
  CHECK(scene.server.uploads.empty());
  CHECK(scene.aborts() == 0);
  scene.node.child->signal(SIGTERM);
  CHECK(scene.end() == 0);
  CHECK(scene.seen_err.find("upload.resumed") != std::string::npos);
}

TEST_CASE("upload_resume: a node that is shut down leaves its upload, a canceled job does not",
          "[e2e][upload_resume]") {
  Scene scene(64 * 1024, 48);
  const bool canceled = GENERATE(false, true);
  scene.server.parts_together = 1000;              // the parts that are under way stay there
  if (canceled) scene.node.market.lease_ttl = 4s;  // a beat comes soon
  scene.start(1);
  REQUIRE(scene.turn([&] { return scene.server.parts_at_once == kParallel; }));
  if (canceled) {
    scene.node.market.on_heartbeat = [](const FakeMarketplace::Call&) {
      return std::optional(FakeMarketplace::Answer{.status = 200, .body = R"({"cancel":true})"});
    };
    REQUIRE(scene.turn([&] { return scene.aborts() == 1; }));
    scene.node.child->signal(SIGTERM);
  } else {
    scene.node.child->signal(SIGTERM);
    scene.turn([] { return false; }, 100ms);
    scene.node.child->signal(SIGTERM);
  }
  CHECK(scene.end() == 0);
  scene.server.parts_together = 1;
  CHECK(scene.aborts() == (canceled ? 1 : 0));
  CHECK(scene.server.uploads.size() == (canceled ? 0U : 1U));
  CHECK(scene.server.items.empty());
  if (canceled) return;
  CHECK(scene.seen_err.find("upload.kept") != std::string::npos);
  REQUIRE(scene.node.market.of("/fail").size() == 1);
  scene.start(2);
  REQUIRE(scene.turn([&] { return scene.completed(); }));
  CHECK(scene.stored() == noop_bytes(0, scene.size));
  CHECK(scene.server.count("POST /data/multipart") == 2);  // begun once, completed once
}

TEST_CASE("upload_resume: 2 GiB killed at a half", "[.slow][upload_resume]") {
  Scene scene(8 << 20U, 256);
  scene.server.hashes_only = true;
  scene.at_half([&] { scene.node.child->signal(SIGKILL); });
  scene.start(1);
  REQUIRE(scene.turn([&] { return scene.acted; }, 10min));
  CHECK(scene.end() == 128 + SIGKILL);
  scene.start(2);
  REQUIRE(scene.turn([&] { return scene.completed(); }, 10min));
  const std::uint64_t twice = scene.server.part_bytes - scene.size;
  std::printf("upload_resume: %llu bytes came twice\n", static_cast<unsigned long long>(twice));
  CHECK(twice <= kParallel * scene.server.part_size);
  std::ifstream status("/proc/" + std::to_string(scene.node.child->pid()) + "/status");
  std::string word;
  long peak_kib = 0;
  while (status >> word) {
    if (word == "VmHWM:") status >> peak_kib;
  }
  std::printf("upload_resume: peak of the node %ld KiB\n", peak_kib);
  CHECK(peak_kib < 64 * 1024);
  std::string expected;
  for (std::uint64_t at = 0; at < scene.size; at += scene.server.part_size) {
    expected += pn::sha256_hex(noop_bytes(at, std::min(at + scene.server.part_size, scene.size)));
  }
  CHECK(scene.stored() == expected);
}
