#pragma once

#include "base/awaitable.hpp"
#include "base/ids.hpp"
#include "base/json.hpp"
#include "node/journal.hpp"
#include "node/lease.hpp"
#include "node/outbox.hpp"
#include "node/receipt.hpp"
#include "storage/ports.hpp"
#include "tests/node/fake_dms.hpp"
#include "tests/node/node_fixture.hpp"
#include "tests/support/test_loop.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

namespace pn::node::testing {

/// An Outbox with a server that takes receipts while it is `up`.
struct OutboxFixture : NodeFixture {
  bool up = true;

  OutboxFixture() {
    dms.on_receipt = [this](const FakeDms::Call&) {
      return up ? Reply(200, Json::object()) : Reply(503, std::string());
    };
  }
  Lease lease_of(const std::string& task, const std::string& lease_id = "L1") {
    Json body = envelope(loop.clock, task);
    body["lease_id"] = lease_id;
    return lease(std::move(body));
  }
  /// An outcome of a lease, stored.
  RowId store(const Lease& lease, Outcome outcome = Outcome::completed) {
    const RowId id = outbox.lease_taken(lease);
    const std::vector<storage::Artifact> none;
    const Failure failure{.reason = "broke", .error = "it broke"};
    Receipt receipt{.task = lease.task.id,
                    .outcome = outcome,
                    .body = outcome == Outcome::completed ? complete_body(lease, none)
                                                          : fail_body(lease, failure, none)};
    const pn::testing::Started storing(loop, outbox.store(id, std::move(receipt), nullptr));
    loop.poll();
    REQUIRE(storing.done());
    return id;
  }
  std::size_t sends(const std::string& task) {
    const std::string path = "/v1/tasks/" + task + "/complete";
    return static_cast<std::size_t>(std::count_if(
        dms.calls.begin(), dms.calls.end(), [&](const auto& call) { return call.path == path; }));
  }
  std::optional<bool> admit(const Lease& lease) {
    std::optional<bool> out;
    const auto asking = [&]() -> Awaitable<void> { out = co_await outbox.admit(lease); };
    const pn::testing::Started started(loop, asking());
    loop.poll();
    for (int i = 0; i < 30 && !started.done(); ++i) loop.advance(std::chrono::seconds(1));
    return out;
  }
};

/// Another life of the same node: what the journal holds is all that it knows.
struct SecondLife {
  explicit SecondLife(NodeFixture& f)
      : outbox(
            OutboxParts{
                f.loop.executor(), f.journal, f.client, f.loop.clock, f.rng, f.metrics, f.logger},
            std::chrono::hours(168)),
        fixture(f) {
    f.sender->cancel();
    f.loop.poll();
    outbox.adopt(f.journal.load());
    running = std::make_unique<pn::testing::Started>(f.loop, outbox.run());
  }
  ~SecondLife() {
    running->cancel();
    fixture.loop.poll();
  }
  Outbox outbox;
  NodeFixture& fixture;
  std::unique_ptr<pn::testing::Started> running;
};

}  // namespace pn::node::testing
