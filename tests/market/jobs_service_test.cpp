#include "market/jobs_service.hpp"

#include "base/deadline.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "market/job_spec.hpp"
#include "market/task_rules.hpp"
#include "market/tokens.hpp"
#include "tests/market/market_parts.hpp"

#include <optional>
#include <string>
#include <utility>

#include <catch2/catch.hpp>

// The jobs without HTTP: what goes on between two turns of the loop.

namespace pn::market::testing {
namespace {

struct Jobs : MarketParts {
  JobsService service{context, loop.executor()};

  /// One job of `count` tasks of a capability.
  JobSpec spec(const std::string& capability, int count = 1) const {
    JobSpec out;
    out.label = "job";
    out.domain = first.domain;
    for (int i = 0; i < count; ++i) {
      TaskSpec task;
      task.label = "a";
      task.stage = "a";
      task.capability = Capability(capability);
      out.tasks.push_back(task);
    }
    return out;
  }
  void submit(JobSpec spec) {
    TokenClaims who;
    who.type = TokenType::app_access;
    who.subject = "app";
    who.organization = first.organization;
    who.domain = first.domain;
    REQUIRE(loop.run(service.submit(who, std::move(spec), "")).ok());
  }
  std::optional<Lease> claim(const NodeId& node) {
    const JobsService::Gone stays = [] { return false; };
    const Deadline now = Deadline::in(loop.clock, Millis(0));
    auto lease = loop.run(service.claim(node, std::nullopt, now, stays));
    REQUIRE(lease.ok());
    return std::move(*lease);
  }
};

}  // namespace

TEST_CASE("jobs service: a job and a receipt are on the disk before they are answered",
          "[market][jobs][mt]") {
  Jobs j;
  const NodeId node = j.put("n", R"(["/a/v1"])");
  const auto durable = [&] { return j.database->durable_commits(); };
  j.submit(j.spec("/a/v1"));
  CHECK(durable() == 1);

  const std::optional<Lease> lease = j.claim(node);
  REQUIRE(lease);
  const TaskRow& task = lease->row.task;
  HeartbeatReport beat;
  beat.task = task.id;
  beat.who = Reporter{.node = node, .lease = task.state.lease};
  CHECK(j.loop.run(j.service.heartbeat(beat)).ok());
  CHECK(durable() == 1);  // a claim or a beat that is lost is made again

  ReceiptReport receipt;
  receipt.task = task.id;
  receipt.who = beat.who;
  receipt.success = true;
  CHECK(j.loop.run(j.service.finish(receipt)).ok());
  CHECK(durable() == 2);
}

}  // namespace pn::market::testing
