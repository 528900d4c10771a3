#include "node/storage_ports.hpp"

#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/ids.hpp"
#include "base/log.hpp"
#include "base/offload.hpp"
#include "base/result.hpp"
#include "base/system_clock.hpp"
#include "base/time.hpp"
#include "http/client.hpp"
#include "http/server.hpp"
#include "http/types.hpp"
#include "node/config.hpp"
#include "node/node.hpp"
#include "node/state_db.hpp"
#include "node/task_ports.hpp"
#include "node/upload_log.hpp"
#include "node/write_fence.hpp"
#include "runners/registry.hpp"
#include "runners/task_context.hpp"
#include "storage/ports.hpp"
#include "tests/storage/domain_world.hpp"
#include "tests/storage/fake_domain_server.hpp"
#include "tests/support/fake_rng.hpp"
#include "tests/support/temp_folder.hpp"
#include "tests/support/test_loop.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

// That each setting of transfers gets to where it acts.

namespace pn::node {
namespace {

using namespace std::chrono_literals;
using pn::testing::FakeDomainServer;
using pn::testing::FakeRng;
using pn::testing::SteppedTokens;
using pn::testing::TempFolder;
using pn::testing::TestLoop;

constexpr std::size_t kMib = 1024 * 1024;

/// The machine's, but that nobody who sleeps has to wait for it.
struct HastyClock final : Clock {
  SystemClock real;
  [[nodiscard]] SystemTime system_now() const override { return real.system_now(); }
  [[nodiscard]] SteadyTime steady_now() const override { return real.steady_now(); }
  Awaitable<void> sleep_until(SteadyTime /*when*/) override {
    return real.sleep_until(real.steady_now());
  }
};

/// Notes how each request is to be sent, and sends it.
struct WatchedHttp final : http::HttpClient {
  struct Limits {
    Millis timeout;
    std::uint32_t low_speed_bytes;
    std::chrono::seconds low_speed_time;

    friend bool operator==(const Limits&, const Limits&) = default;
  };
  explicit WatchedHttp(http::HttpClient& h) : http(h) {}
  Awaitable<Result<http::Response>> send(http::Request request) override {
    seen.push_back({request.timeout, request.low_speed_bytes, request.low_speed_time});
    Result<http::Response> answer = co_await http.send(std::move(request));
    co_return answer;
  }
  http::HttpClient& http;
  std::vector<Limits> seen;
};

/// What the ports of one task are made from: a domain server, and a configuration to be changed
/// before make().
struct Fixture {
  Fixture() {
    info.id = TaskId("t");
    info.domain = DomainId("d1");
    REQUIRE(StateDb::open(state_db).ok());
    uploads.emplace(state_db, log::Logger());
    server.request_max = 1000;
    server.part_size = 1000;
  }
  TaskPorts make() {
    factory.emplace(parts, config, *uploads, nullptr);
    const PortsOrder order{.info = info,
                           .domain_server_url = server.url().str(),
                           .tokens = tokens,
                           .folder = dir.path / "task",
                           .open_folder = [] {},
                           .logger = log::Logger(),
                           .fence = fence};
    Result<TaskPorts> made = factory->make(order);
    REQUIRE(made.ok());
    return *std::move(made);
  }
  /// As an artifact of parts.
  Result<storage::Artifact> put(const TaskPorts& ports, std::size_t bytes) {
    return loop.run(ports.outputs->put_bytes("a.ply", std::string(bytes, 'x'), {}), 5s);
  }

  TempFolder dir;
  const std::filesystem::path state_db = dir.path / "state.db";
  TestLoop loop;
  FakeDomainServer server{loop};
  HastyClock clock;
  FakeRng rng;
  ThreadPool compute{"compute", 1};
  ThreadPool io{"io", 1};
  std::unique_ptr<http::HttpClient> client = *http::make_http_client(loop.executor(), {});
  WatchedHttp http{*client};
  runners::Registry registry;
  NodeParts parts{.control = loop.executor(),
                  .transfer = loop.executor(),
                  .compute = compute,
                  .io = io,
                  .clock = clock,
                  .rng = rng,
                  .control_http = http,
                  .transfer_http = http,
                  .registry = registry,
                  .logger = {}};
  Config config;
  runners::TaskInfo info;
  SteppedTokens tokens{{"t1"}};
  WriteFence fence;
  std::optional<UploadLog> uploads;
  std::optional<StoragePorts> factory;
};

}  // namespace

TEST_CASE("storage ports: requests say who asks, and have the limits that are set",
          "[node][storage_ports]") {
  Fixture f;
  f.config.client_id = "node/7";
  f.config.request_timeout = 7s;
  f.config.transfer_low_speed_bytes = 77;
  f.config.transfer_low_speed_time = 8s;
  std::set<std::string> askers;
  f.server.fault = [&](const http::ServerRequest& r) -> std::optional<http::ServerResponse> {
    askers.emplace(r.headers.find("posemesh-client-id").value_or("nobody"));
    return std::nullopt;
  };
  const std::string id = f.server.add("a", "ply", "bytes");
  const TaskPorts ports = f.make();
  REQUIRE(f.loop.run(ports.inputs->fetch(Cid(id))).ok());
  CHECK(askers == std::set<std::string>{"node/7"});
  // The list, then the item itself.
  REQUIRE(f.http.seen.size() == 2);
  CHECK(f.http.seen[0].timeout == 7s);
  CHECK(f.http.seen[1] == WatchedHttp::Limits{0ms, 77, 8s});
}

TEST_CASE("storage ports: TASK_MAX_DISK_MB holds for the inputs", "[node][storage_ports]") {
  Fixture f;
  f.config.task_max_disk_mb = 1;
  const std::string fits = f.server.add("fits", "ply", std::string(kMib, 'x'));
  const std::string more = f.server.add("more", "ply", std::string(kMib + 1, 'x'));
  const TaskPorts ports = f.make();
  const Result<storage::Input> refused = f.loop.run(ports.inputs->fetch(Cid(more)));
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().kind == ErrorKind::full);
  CHECK(refused.error().code == "task_disk_full");
  CHECK(f.server.payload == 0);
  CHECK(f.loop.run(ports.inputs->fetch(Cid(fits))).ok());
}

TEST_CASE("storage ports: a part is sent again UPLOAD_PART_RETRIES times",
          "[node][storage_ports]") {
  Fixture f;
  f.config.upload_part_retries = 2;
  int failures = 0;
  int most = 0;
  f.server.fault = [&](const http::ServerRequest& r) -> std::optional<http::ServerResponse> {
    const bool part = r.method == http::Method::put && r.path.ends_with("/data/multipart");
    if (!part || failures == most) return std::nullopt;
    ++failures;
    return http::error_response(503, "busy", "later");
  };
  const TaskPorts ports = f.make();
  SECTION("which is enough") {
    most = 2;
    CHECK(f.put(ports, 2500).ok());
    CHECK(f.server.count("PUT /data/multipart") == 5);  // of 3 parts
  }
  SECTION("and not once more") {
    most = 100;
    const Result<storage::Artifact> failed = f.put(ports, 2500);
    REQUIRE_FALSE(failed.ok());
    CHECK(failed.error().code == "http_503");
    CHECK(failures == 3);
  }
}

TEST_CASE("storage ports: as many transfers at once as is set", "[node][storage_ports]") {
  Fixture f;
  SECTION("DOWNLOAD_PARALLEL inputs") {
    f.config.download_parallel = 6;
    f.server.downloads_together = 6;
    std::vector<Cid> cids;
    for (int i = 0; i < 8; ++i) {
      const std::string name = "n" + std::to_string(i);
      f.server.add(name, "ply", "bytes");
      cids.emplace_back(name);  // by name, each is asked for by itself
    }
    const TaskPorts ports = f.make();
    const auto inputs = f.loop.run(ports.inputs->fetch_all(cids), 5s);
    REQUIRE(inputs.ok());
    CHECK(inputs->size() == 8);
    CHECK(f.server.most_downloads_at_once == 6);
  }
  SECTION("UPLOAD_PARALLEL parts of an artifact") {
    f.config.upload_parallel = 3;
    f.server.parts_together = 3;
    const TaskPorts ports = f.make();
    REQUIRE(f.put(ports, 8000).ok());
    CHECK(f.server.most_parts_at_once == 3);
  }
}

}  // namespace pn::node
