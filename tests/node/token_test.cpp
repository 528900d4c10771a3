#include "auth/node_session.hpp"
#include "base/awaitable.hpp"
#include "base/ids.hpp"
#include "base/json.hpp"
#include "base/log.hpp"
#include "base/offload.hpp"
#include "base/result.hpp"
#include "base/rng.hpp"
#include "base/time.hpp"
#include "http/client.hpp"
#include "node/config.hpp"
#include "node/dms_client.hpp"
#include "node/engine.hpp"
#include "node/metrics.hpp"
#include "node/outbox.hpp"
#include "node/task_run.hpp"
#include "runners/registry.hpp"
#include "runners/task_context.hpp"
#include "storage/ports.hpp"
#include "tests/auth/fake_dds.hpp"
#include "tests/node/fake_dms.hpp"
#include "tests/node/memory_journal.hpp"
#include "tests/node/node_fixture.hpp"
#include "tests/support/fake_rng.hpp"
#include "tests/support/test_loop.hpp"

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include <catch2/catch.hpp>

namespace pn::node {
namespace {

using namespace std::chrono_literals;
using pn::testing::FakeDds;
using pn::testing::FakeRng;
using pn::testing::Started;
using pn::testing::TestLoop;
using runners::TaskContext;
using testing::envelope;
using testing::FakeDms;
using testing::FakePorts;
using testing::FakeRunner;
using testing::MemoryJournal;
using testing::Reply;

constexpr auto kLease = 10min;

/// DDS and DMS by one clock of their own: DMS takes the tokens that DDS has issued, while they last
/// and are not revoked.
class Network final : public http::HttpClient {
 public:
  Network(TestLoop& loop, Millis skew)
      : dds(loop.clock), dms(loop.clock), loop_(loop), skew_(skew) {
    dds.skew = skew;
    dds.verification = [this]() -> Result<http::Response> {
      issued_at_.emplace("Bearer token-" + std::to_string(dds.logins), loop_.clock.steady_now());
      return dds.token_answer();
    };
    dms.on_claim = [this](const FakeDms::Call& call) { return claim(call); };
    dms.on_heartbeat = [this](const Json&) { return beat(dms.calls.back()); };
    dms.on_receipt = [this](const FakeDms::Call& call) {
      return good(call) ? Reply(200, Json::object()) : refused();
    };
  }

  FakeDds dds;
  FakeDms dms;
  bool offered = false;
  int unauthorized = 0;

  /// All that was issued until now is worth nothing.
  void revoke_all() { issued_at_.clear(); }

  Awaitable<Result<http::Response>> send(http::Request request) override {
    if (request.url.path().find("/v1/tasks") != std::string::npos) {
      co_return co_await dms.send(std::move(request));
    }
    co_return co_await dds.send(std::move(request));
  }

 private:
  [[nodiscard]] bool good(const FakeDms::Call& call) const {
    const std::string bearer(call.headers.find("authorization").value_or(""));
    const auto at = issued_at_.find(bearer);
    return at != issued_at_.end() && loop_.clock.steady_now() < at->second + dds.ttl;
  }
  Reply dated(Reply reply) {
    reply.headers.set("date", FakeDds::http_date(loop_.clock.system_now() + skew_));
    return reply;
  }
  Reply refused() {
    ++unauthorized;
    return dated(Reply(401, std::string()));
  }
  [[nodiscard]] std::string lease_end() const {
    return format_rfc3339(loop_.clock.system_now() + skew_ + kLease);
  }
  Reply claim(const FakeDms::Call& call) {
    if (!good(call)) return refused();
    if (std::exchange(offered, true)) return dated(Reply(204, std::string()));
    Json body = envelope(loop_.clock, "t1");
    body["lease_expires_at"] = lease_end();
    return dated(Reply(200, body));
  }
  Reply beat(const FakeDms::Call& call) {
    if (!good(call)) return refused();
    const Json body{{"lease_expires_at", lease_end()},
                    {"access_token", "task-token-" + std::to_string(dms.calls.size())}};
    return dated(Reply(200, body));
  }

  TestLoop& loop_;
  const Millis skew_;
  std::map<std::string, SteadyTime> issued_at_;
};

/// A node from sign-in to receipt.
struct TokenFixture {
  explicit TokenFixture(Millis skew) : network(loop, skew) {
    network.dds.ttl = 20min;
    config.max_concurrency = 1;
    config.long_poll = 0s;
    config.disk_min_free_mb = 0;
    config.disk_max_used_pct = 100;
    config.inode_max_used_pct = 100;
    config.work_dir = "/nonexistent";
  }
  ~TokenFixture() {
    for (Started* started : {engine_run.get(), sender.get(), signing_in.get()}) {
      if (started != nullptr) started->cancel();
    }
    loop.poll();
  }
  void start() {
    engine.emplace(parts);
    signing_in = std::make_unique<Started>(loop, session.run());
    sender = std::make_unique<Started>(loop, outbox.run());
    engine_run = std::make_unique<Started>(loop, engine->run());
    loop.poll();
  }

  TestLoop loop;
  FakeRng rng;
  Network network;
  ThreadPool pool{"test", 1};
  Config config;
  auth::NodeSession session{loop.executor(),
                            loop.clock,
                            rng,
                            network,
                            pn::testing::url_of("https://dds.example"),
                            pn::testing::known_identity(),
                            auth::SessionSettings{},
                            log::Logger{}};
  DmsClient client{network,
                   session,
                   loop.clock,
                   rng,
                   DmsOptions(http::Url::parse("https://dms.example/v1").value())};
  Metrics metrics;
  MemoryJournal journal;
  Outbox outbox{
      OutboxParts{loop.executor(), journal, client, loop.clock, rng, metrics, log::Logger{}},
      std::chrono::hours(168)};
  FakePorts ports;
  runners::Registry registry;
  TaskParts parts{loop.executor(),
                  loop.executor(),
                  pool,
                  pool,
                  loop.clock,
                  rng,
                  client,
                  outbox,
                  ports,
                  registry,
                  config,
                  metrics,
                  log::Logger{}};
  std::optional<Engine> engine;
  std::unique_ptr<Started> signing_in;
  std::unique_ptr<Started> sender;
  std::unique_ptr<Started> engine_run;
};

}  // namespace

TEST_CASE(
    "token: a task of 36 hours, clocks ten minutes apart, storms of 401: the runner sees none",
    "[node][token]") {
  const Millis skew = GENERATE(Millis(10min), Millis(-10min), Millis(0));
  const std::uint64_t seed = Catch::rngSeed() + 1;
  CAPTURE(skew.count(), seed);
  TokenFixture f(skew);
  int failures = 0;
  bool ended = false;
  f.registry.add(Capability("/noop/v1"),
                 std::make_shared<FakeRunner>([&](TaskContext& task) -> Awaitable<Result<void>> {
                   for (int hour = 0; hour < 36; ++hour) {
                     co_await task.clock().sleep_for(1h);
                     const std::string name = "hour-" + std::to_string(hour);
                     const storage::PutOptions options;
                     const Result<storage::Artifact> put =
                         co_await task.outputs().put_bytes(name, std::string("x"), options);
                     if (!put) ++failures;
                   }
                   ended = true;
                   co_return Result<void>();
                 }));
  f.start();
  FakeRng storms(seed);
  for (int minute = 0; minute < 36 * 60 + 5; ++minute) {
    // Now and then every token is revoked, also just after a new one was had.
    if (uniform(storms, std::uint64_t{0}, std::uint64_t{19}) == 0) f.network.revoke_all();
    f.loop.advance(1min);
  }
  CHECK(ended);
  CHECK(failures == 0);
  CHECK(f.network.unauthorized > 20);
  CHECK(f.network.dms.count("complete") == 1);
  CHECK(f.network.dms.count("fail") == 0);
  REQUIRE(f.engine->past().size() == 1);
  CHECK(f.engine->past()[0].outcome == "completed");
  // The data plane took the newest task token each time.
  CHECK(std::set<std::string>(f.ports.tokens_seen.begin(), f.ports.tokens_seen.end()).size() == 36);
}

TEST_CASE("token: DDS is away for as long as its last token lasts, and nobody notices",
          "[node][token]") {
  TokenFixture f(Millis(0));
  bool worked = false;
  f.registry.add(Capability("/noop/v1"),
                 std::make_shared<FakeRunner>([&](TaskContext& task) -> Awaitable<Result<void>> {
                   co_await task.clock().sleep_for(3h);
                   worked = true;
                   co_return Result<void>();
                 }));
  f.start();
  for (int round = 0; round < 10; ++round) {
    const auto usual = f.network.dds.verification;
    f.loop.advance(15min);
    f.network.dds.verification = []() -> Result<http::Response> {
      return Error(ErrorKind::retry, "curl_connect", "no route");
    };
    f.loop.advance(4min);
    f.network.dds.verification = usual;
  }
  CHECK(worked);
  CHECK(f.network.dms.count("complete") == 1);
}

}  // namespace pn::node
