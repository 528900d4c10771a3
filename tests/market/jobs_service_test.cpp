#include "market/jobs_service.hpp"

#include "base/awaitable.hpp"
#include "base/deadline.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "market/job_queries.hpp"
#include "market/job_spec.hpp"
#include "market/task_rules.hpp"
#include "market/tokens.hpp"
#include "tests/market/market_parts.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <thread>
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

/// A node that waits for a task, for 20 s of a time that stands still.
class Poll {
 public:
  Poll(Jobs& jobs, const NodeId& node) : jobs_(jobs), started_(jobs.loop, wait(node)) {
    jobs_.loop.poll();
  }
  /// The market stops, so that it answers in any case.
  ~Poll() {
    jobs_.service.stop_waiting();
    jobs_.loop.run_until([this] { return started_.done(); });
  }
  Poll(const Poll&) = delete;
  Poll& operator=(const Poll&) = delete;

  [[nodiscard]] bool has_task() const { return has_task_; }

 private:
  Awaitable<void> wait(NodeId node) {
    const JobsService::Gone stays = [] { return false; };
    const Deadline deadline = Deadline::in(jobs_.loop.clock, std::chrono::seconds(20));
    const std::optional<Capability> any;
    const auto lease = co_await jobs_.service.claim(node, any, deadline, stays);
    has_task_ = lease.ok() && lease->has_value();
  }

  Jobs& jobs_;
  bool has_task_ = false;
  pn::testing::Started started_;
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

TEST_CASE("jobs service: progress that is too long leaves what was stored", "[market][jobs][mt]") {
  Jobs j;
  const NodeId node = j.put("n", R"(["/a/v1"])");
  j.submit(j.spec("/a/v1"));
  const std::optional<Lease> lease = j.claim(node);
  REQUIRE(lease);
  HeartbeatReport beat;
  beat.task = lease->row.task.id;
  beat.who = Reporter{.node = node, .lease = lease->row.task.state.lease};
  const auto stored = [&](const std::string& progress) {
    beat.progress = progress;
    const Result<HeartbeatAnswer> answer = j.loop.run(j.service.heartbeat(beat));
    return answer.ok() ? answer->task.progress : "refused";
  };
  CHECK(stored(R"({"done":1})") == R"({"done":1})");
  CHECK(stored(R"({"text":")" + std::string(70'000, 'x') + R"("})") == R"({"done":1})");
  CHECK(stored(R"({"done":2})") == R"({"done":2})");
}

TEST_CASE("jobs service: a page of jobs ends before clients would stop to read it",
          "[market][jobs][mt]") {
  Jobs j;
  JobSpec spec = j.spec("/a/v1");
  spec.meta = R"({"text":")" + std::string(60'000, 'x') + R"("})";
  for (int i = 0; i < 20; ++i) j.submit(spec);
  JobQuery query;
  query.domain = j.first.domain;
  const std::function<Result<JobPage>(soci::session&)> work =
      [&](soci::session& session) -> Result<JobPage> { return list_jobs(session, query); };
  const Result<JobPage> newest = j.loop.run(j.database->read<JobPage>(work));
  REQUIRE(newest.ok());
  CHECK(newest->items.size() == 17);  // of 60,011 bytes each
  REQUIRE(newest->next);
  CHECK(*newest->next == newest->items.back().job.seq);
  query.before = *newest->next;
  const Result<JobPage> oldest = j.loop.run(j.database->read<JobPage>(work));
  REQUIRE(oldest.ok());
  CHECK(oldest->items.size() == 3);
  CHECK_FALSE(oldest->next);
  CHECK(oldest->items.front().job.seq == *newest->next - 1);
}

TEST_CASE("jobs service: claims look at no class for long whose tasks have all ended",
          "[market][jobs][mt]") {
  Jobs j;
  j.submit(j.spec("/a/v1"));
  const auto tidy = [&] {
    for (int sweeps = 0; sweeps < 60; ++sweeps) REQUIRE(j.loop.run(j.service.sweep()).ok());
  };
  // A claim that looks is a write; one that has no class to look at is none.
  const auto looks = [&](const std::string& name) {
    const NodeId node = j.put(name, R"(["/a/v1"])");
    const std::uint64_t before = j.database->commits();
    const bool found = j.claim(node).has_value();
    CHECK_FALSE(found);
    return j.database->commits() > before;
  };
  tidy();
  const std::optional<Lease> lease = j.claim(j.put("n", R"(["/a/v1"])"));
  REQUIRE(lease);
  tidy();
  CHECK(looks("while it runs"));
  REQUIRE(j.loop.run(j.service.cancel(j.first.domain, lease->row.task.job_id)).ok());
  CHECK(looks("just after it"));
  tidy();
  CHECK_FALSE(looks("later"));
  j.submit(j.spec("/a/v1"));
  CHECK(j.claim(NodeId("later")));
}

TEST_CASE("jobs service: a poll from before a registration hides no task from the one after it",
          "[market][jobs][mt]") {
  Jobs j;
  const NodeId node = j.put("n", R"(["/a/v1"])");
  j.submit(j.spec("/b/v1", 2));
  const auto register_anew = [&] {
    j.put("n", R"(["/a/v1","/b/v1"])");
    j.service.forget_node(node);
  };
  const Poll before(j, node);
  SECTION("that waits") {
    REQUIRE(j.loop.run_until([&] { return j.loop.clock.sleepers() == 1; }));
    register_anew();
    j.loop.poll();
  }
  SECTION("that has read the old row, and has yet to hear of it") {
    // Reads begin in the order in which they came: when the second has, the first is over (were it
    // not, it would find the new row, which is well too).
    std::atomic<bool> begun{false};
    const std::function<Result<int>(soci::session&)> work = [&](soci::session&) -> Result<int> {
      begun = true;
      return 0;
    };
    const auto reading = [&]() -> Awaitable<void> {
      const Result<int> got = co_await j.database->read<int>(work);
      CHECK(got.ok());
    };
    const pn::testing::Started other(j.loop, reading());
    j.loop.poll();
    while (!begun) std::this_thread::yield();
    register_anew();
    REQUIRE(j.loop.run_until([&] { return other.done(); }));
  }
  const Poll after(j, node);
  CHECK(j.loop.run_until([&] { return before.has_task() && after.has_task(); }));
}

}  // namespace pn::market::testing
