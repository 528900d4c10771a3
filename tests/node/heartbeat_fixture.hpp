#pragma once

#include "base/awaitable.hpp"
#include "base/json.hpp"
#include "base/result.hpp"
#include "base/secret.hpp"
#include "base/time.hpp"
#include "node/dms_client.hpp"
#include "node/heartbeat_loop.hpp"
#include "node/lease.hpp"
#include "node/lease_core.hpp"
#include "node/metrics.hpp"
#include "storage/task_token.hpp"
#include "tests/node/fake_dms.hpp"
#include "tests/support/fake_rng.hpp"
#include "tests/support/test_loop.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

namespace pn::node::testing {

using namespace std::chrono_literals;
using pn::testing::Started;

/// The heartbeats of one lease of 30 s, against a DMS that renews it.
struct BeatFixture {
  pn::testing::TestLoop loop;
  pn::testing::FakeRng rng;
  FakeDms dms{loop.clock};
  FakeTokens tokens;
  DmsClient client{
      dms, tokens, loop.clock, rng, DmsOptions(http::Url::parse("https://dms.example/v1").value())};
  Metrics metrics;
  Lease lease;
  WriteFence fence;
  storage::TaskToken token{Secret<std::string>("first")};
  std::unique_ptr<HeartbeatLoop> beats;
  std::unique_ptr<Started> running;

  explicit BeatFixture(Json body = Json()) {
    if (body.is_null()) body = envelope(loop.clock, "t1");
    dms.claims.push_back(Reply(200, std::move(body)));
    lease = *loop.run(client.claim())->lease;
    dms.calls.clear();
    dms.on_heartbeat = [this](const Json&) { return renewed(); };
    beats = std::make_unique<HeartbeatLoop>(
        HeartbeatParts{loop.executor(), client, loop.clock, rng, metrics, log::Logger(), fence},
        LeasePolicy{},
        lease,
        token);
  }

  ~BeatFixture() {
    if (running) running->cancel();
    loop.poll();
  }

  Reply renewed() {
    return Reply(200, Json{{"lease_expires_at", format_rfc3339(loop.clock.system_now() + 30s)}});
  }
  void open() {
    const Result<void> first = loop.run(beats->open(60s));
    REQUIRE(first.ok());
  }
  void start() {
    running = std::make_unique<Started>(loop, beats->run());
    loop.poll();
  }
  Json last_beat() { return dms.calls.back().body; }
};

}  // namespace pn::node::testing
