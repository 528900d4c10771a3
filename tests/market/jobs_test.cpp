#include "base/awaitable.hpp"
#include "base/json.hpp"
#include "base/log.hpp"
#include "base/time.hpp"
#include "http/types.hpp"
#include "market/sqlite.hpp"
#include "tests/http/raw_client.hpp"
#include "tests/market/market_fixture.hpp"

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <soci/soci.h>

namespace pn::market::testing {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST_CASE("jobs: a task from claim to receipt", "[market][jobs][mt]") {
  MarketFixture m;
  const std::string grant = m.grant();
  const Node node = m.node(1);
  CHECK(m.claim(node).status == 204);
  Json spec = m.job();
  spec["tasks"][0]["meta"] = {{"x", 1}};
  spec["tasks"][0]["inputs_cids"] = {"i1"};
  const std::string job = m.submit(grant, spec);
  CHECK(m.job_status(grant, job) == "pending");

  const Answer claimed = m.claim(node);
  REQUIRE(claimed.status == 200);
  const Json& lease = claimed.json;
  // What nodes that we did not write need (protocol/dms.md).
  CHECK(lease.at("domain_id") == m.market->bootstrapped().domain.str());
  CHECK(lease.at("domain_server_url") == m.market->public_url());
  CHECK(lease.at("cancel") == false);
  CHECK(lease.at("lease_id").is_string());
  CHECK(lease.at("access_token").is_string());
  CHECK(parse_rfc3339(lease.at("lease_expires_at").get<std::string>()).value() ==
        m.loop.clock.system_now() + seconds(30));
  const Json& task = lease.at("task");
  CHECK(task.at("capability") == "/noop/v1");
  CHECK(task.at("job_id") == job);
  CHECK(task.at("inputs_cids") == Json::array({"i1"}));
  CHECK(task.at("meta").at("x") == 1);
  CHECK(task.at("attempts") == 1);
  CHECK(task.at("label") == "a-label");
  CHECK(task.at("stage") == "a");
  for (const auto& item : lease.items()) CHECK_FALSE(item.value().is_null());
  for (const auto& item : task.items()) CHECK_FALSE(item.value().is_null());
  for (const char* credit : {"billing_units"}) CHECK(task.at(credit).is_string());
  CHECK(m.job_status(grant, job) == "running");
  CHECK(m.task_status(grant, job) == "leased");
  CHECK(m.claim(node).status == 204);

  m.loop.clock.advance(seconds(10));
  const Answer beat = m.beat(node, lease);
  REQUIRE(beat.status == 200);
  CHECK(beat.json.at("cancel") == false);
  CHECK(beat.json.at("status") == "running");
  CHECK(parse_rfc3339(beat.json.at("lease_expires_at").get<std::string>()).value() ==
        m.loop.clock.system_now() + seconds(30));
  CHECK_FALSE(beat.json.contains("access_token"));
  const Json running = m.show(grant, job);
  CHECK(running.at("tasks").at(0).at("status") == "running");
  CHECK(running.at("tasks").at(0).at("meta").at("progress").at("done") == 1);
  CHECK(running.at("tasks").at(0).at("meta").at("events") == Json::array({"e"}));
  const Answer busy = m.get("/v1/nodes/busy", grant);
  CHECK(busy.json.at("nodes").size() == 1);

  CHECK(m.complete(node, lease).status == 200);
  CHECK(m.complete(node, lease).status == 200);  // a repeat
  CHECK(m.fail(node, lease).status == 409);
  CHECK(m.beat(node, lease).status == 409);
  const Json done = m.show(grant, job);
  CHECK(done.at("job").at("status") == "completed");
  CHECK(done.at("tasks_summary").at("completed") == 1);
  REQUIRE(done.at("receipts").size() == 1);
  CHECK(done.at("receipts").at(0).at("outputs") == Json::array({"o1"}));
  CHECK(done.at("receipts").at(0).at("outcome") == "completed");
}

TEST_CASE("jobs: a node that knows no lease id is known by its token", "[market][jobs][mt]") {
  MarketFixture m;
  const std::string grant = m.grant();
  const Node node = m.node(1);
  const Node other = m.node(2);
  const std::string job = m.submit(grant, m.job());
  const Json lease = m.claim(node).json;
  const std::string task = "/v1/tasks/" + lease.at("task").at("id").get<std::string>();
  const Json beat{{"progress", Json::object()}, {"events", Json::array()}};
  CHECK(m.post(task + "/heartbeat", node.token, beat).status == 200);
  CHECK(m.post(task + "/heartbeat", other.token, beat).status == 409);
  const Json receipt{{"output_cids", Json::array()}, {"meta", Json::object()}};
  CHECK(m.post(task + "/complete", other.token, receipt).status == 409);
  CHECK(m.post(task + "/complete", node.token, receipt).status == 200);
  CHECK(m.job_status(grant, job) == "completed");
  CHECK(m.post("/v1/tasks/nowhere/heartbeat", node.token, beat).status == 404);
}

TEST_CASE("jobs: who is silent loses the lease; what it made still counts until taken over",
          "[market][jobs][mt]") {
  MarketFixture m;
  const std::string grant = m.grant();
  const Node node = m.node(1);
  const Node other = m.node(2);
  const std::string job = m.submit(grant, m.job());
  const Json lease = m.claim(node).json;
  // Up to the first sweep, one life of a lease after the start.
  m.loop.advance(seconds(32));
  m.until([&] { return m.task_status(grant, job) == "queued"; });
  const Answer beat = m.beat(node, lease);
  CHECK(beat.status == 409);
  CHECK(code_of(beat) == "lease_lost");

  SECTION("its receipt comes before anyone else's claim") {
    CHECK(m.complete(node, lease).status == 200);
    CHECK(m.job_status(grant, job) == "completed");
    CHECK(m.claim(other).status == 204);
  }
  SECTION("its receipt comes after") {
    const Answer second = m.claim(other);
    REQUIRE(second.status == 200);
    CHECK(second.json.at("task").at("attempts") == 2);
    CHECK(second.json.at("lease_id") != lease.at("lease_id"));
    const Answer late = m.complete(node, lease);
    CHECK(late.status == 409);
    CHECK(code_of(late) == "lease_lost");
    CHECK(m.complete(node, lease).status == 409);
    CHECK(m.complete(other, second.json).status == 200);
    const Json done = m.show(grant, job);
    CHECK(done.at("receipts").size() == 1);
    // Kept as evidence, once.
    REQUIRE(done.at("attempts").size() == 3);
    CHECK(done.at("attempts").at(0).at("outcome") == "expired");
    CHECK(done.at("attempts").at(1).at("outcome") == "late");
    CHECK(done.at("attempts").at(1).at("attempt") == 1);
    CHECK(done.at("attempts").at(2).at("outcome") == "completed");
  }
}

TEST_CASE("jobs: attempts run out", "[market][jobs][mt]") {
  MarketFixture m;
  const std::string grant = m.grant();
  const Node node = m.node(1);
  Json spec = m.job();
  spec["tasks"][0]["max_attempts"] = 2;
  const std::string job = m.submit(grant, spec);
  const Json first = m.claim(node).json;
  CHECK(m.fail(node, first).status == 200);
  CHECK(m.fail(node, first).status == 200);  // a repeat is no second attempt
  CHECK(m.complete(node, first).status == 409);
  CHECK(m.task_status(grant, job) == "queued");
  CHECK(m.job_status(grant, job) == "running");
  const Json second = m.claim(node).json;
  CHECK(second.at("task").at("attempts") == 2);
  CHECK(m.fail(node, first).status == 200);  // accepted long ago
  CHECK(m.task_status(grant, job) == "leased");
  CHECK(m.fail(node, second).status == 200);
  const Json done = m.show(grant, job);
  CHECK(done.at("job").at("status") == "failed");
  CHECK(done.at("tasks").at(0).at("status") == "failed");
  REQUIRE(done.at("receipts").size() == 2);
  CHECK(done.at("receipts").at(0).at("reason") == "it broke");
  CHECK(done.at("receipts").at(1).at("attempt") == 2);
  CHECK(m.claim(node).status == 204);
}

TEST_CASE("jobs: a failure that cannot be mended spends one attempt", "[market][jobs][mt]") {
  MarketFixture m;
  const std::string grant = m.grant();
  const Node node = m.node(1);
  const std::string job = m.submit(grant, m.job());
  CHECK(m.fail(node, m.claim(node).json, false).status == 200);
  CHECK(m.job_status(grant, job) == "failed");
  CHECK(m.claim(node).status == 204);
}

TEST_CASE("jobs: stages wait for each other", "[market][jobs][mt]") {
  MarketFixture m;
  const std::string grant = m.grant();
  const Node node = m.node(1);
  const Json edges = Json::array({{{"from", "a"}, {"to", "b"}}});
  const std::string job = m.submit(grant, m.job({"b", "a", "a"}, edges));
  CHECK(m.show(grant, job).at("tasks").at(0).at("deps_remaining") == 2);
  const Json first = m.claim(node).json;
  const Json second = m.claim(node).json;
  CHECK(first.at("task").at("stage") == "a");
  CHECK(second.at("task").at("stage") == "a");
  CHECK(m.claim(node).status == 204);
  CHECK(m.complete(node, first).status == 200);
  CHECK(m.claim(node).status == 204);

  SECTION("and come when all before them completed") {
    CHECK(m.complete(node, second).status == 200);
    const Answer third = m.claim(node);
    REQUIRE(third.status == 200);
    CHECK(third.json.at("task").at("stage") == "b");
    CHECK(third.json.at("task").at("deps_remaining") == 0);
    CHECK(m.job_status(grant, job) == "running");
    CHECK(m.complete(node, third.json).status == 200);
    CHECK(m.job_status(grant, job) == "completed");
  }
  SECTION("and are canceled when one before them failed for good") {
    CHECK(m.fail(node, second, false).status == 200);
    const Json done = m.show(grant, job);
    CHECK(done.at("job").at("status") == "failed");
    CHECK(done.at("tasks").at(0).at("status") == "canceled");
    CHECK(m.claim(node).status == 204);
  }
}

TEST_CASE("jobs: a failed task does not end what does not wait for it", "[market][jobs][mt]") {
  MarketFixture m;
  const std::string grant = m.grant();
  const Node node = m.node(1);
  const std::string job = m.submit(grant, m.job({"a", "b"}));
  const Json first = m.claim(node).json;
  const Json second = m.claim(node).json;
  CHECK(m.fail(node, first, false).status == 200);
  CHECK(m.job_status(grant, job) == "running");
  CHECK(m.complete(node, second).status == 200);
  CHECK(m.job_status(grant, job) == "failed");
}

TEST_CASE("jobs: cancel", "[market][jobs][mt]") {
  MarketFixture m;
  const std::string grant = m.grant();
  const Node node = m.node(1);
  const std::string job = m.submit(grant, m.job({"a", "b"}));
  const Json lease = m.claim(node).json;
  const Answer canceled = m.post("/v1/jobs/" + job + "/cancel", grant, Json::object());
  REQUIRE(canceled.status == 200);
  CHECK(canceled.json.at("status") == "canceled");
  CHECK(canceled.json.at("id") == job);
  CHECK(m.post("/v1/jobs/" + job + "/cancel", grant, Json::object()).status == 200);
  CHECK(m.show(grant, job).at("tasks_summary").at("canceled") == 2);
  CHECK(m.claim(node).status == 204);
  const Answer beat = m.beat(node, lease);
  REQUIRE(beat.status == 200);
  CHECK(beat.json.at("cancel") == true);
  CHECK(beat.json.contains("lease_expires_at"));
  CHECK(code_of(m.complete(node, lease)) == "task_canceled");
  m.loop.clock.advance(seconds(30));
  CHECK(m.beat(node, lease).status == 409);
  CHECK(m.post("/v1/jobs/nowhere/cancel", grant, Json::object()).status == 404);
}

TEST_CASE("jobs: an ended job cannot be canceled; any job can be deleted", "[market][jobs][mt]") {
  MarketFixture m;
  const std::string grant = m.grant();
  const Node node = m.node(1);
  const std::string job = m.submit(grant, m.job());
  m.complete(node, m.claim(node).json);
  CHECK(m.post("/v1/jobs/" + job + "/cancel", grant, Json::object()).status == 409);
  CHECK(m.call(http::Method::del, "/v1/jobs/" + job, "Bearer " + grant).status == 204);
  CHECK(m.get("/v1/jobs/" + job, grant).status == 404);
  CHECK(m.call(http::Method::del, "/v1/jobs/" + job, "Bearer " + grant).status == 404);

  const std::string running = m.submit(grant, m.job());
  const Json lease = m.claim(node).json;
  CHECK(m.call(http::Method::del, "/v1/jobs/" + running, "Bearer " + grant).status == 204);
  CHECK(m.beat(node, lease).json.at("cancel") == true);
}

TEST_CASE("jobs: an idempotency key is one job, for ever", "[market][jobs][mt]") {
  MarketFixture m;
  const std::string grant = m.grant();
  const auto submit = [&](const Json& spec, const std::string& key) {
    http::Headers headers;
    headers.set("Idempotency-Key", key);
    return m.call(http::Method::post, "/v1/jobs", "Bearer " + grant, spec, headers);
  };
  const Answer first = submit(m.job(), "k1");
  REQUIRE(first.status == 200);
  const std::string id = first.json.at("job_id");
  Json same = m.job();
  same["priority"] = 0;
  same["tasks"][0]["max_attempts"] = 3;
  CHECK(submit(same, "k1").json.at("job_id") == id);
  CHECK(m.get("/v1/jobs", grant).json.at("items").size() == 1);
  const Answer other = submit(m.job({"b"}), "k1");
  CHECK(other.status == 409);
  CHECK_FALSE(other.headers.find("retry-after"));
  CHECK(submit(m.job(), "k2").json.at("job_id") != id);
  CHECK(submit(m.job(), "with blank").status == 400);
  CHECK(submit(m.job(), std::string(129, 'x')).status == 400);
  CHECK(m.call(http::Method::del, "/v1/jobs/" + id, "Bearer " + grant).status == 204);
  CHECK(submit(m.job(), "k1").json.at("job_id") == id);
}

TEST_CASE("jobs: pages skip nothing and repeat nothing", "[market][jobs][mt]") {
  MarketFixture m;
  const std::string grant = m.grant();
  std::vector<std::string> submitted;
  for (int i = 0; i < 7; ++i) submitted.push_back(m.submit(grant, m.job()));
  for (const int limit : {1, 2, 3, 6, 7, 8}) {
    std::vector<std::string> seen;
    std::string cursor;
    do {
      const Answer page = m.get(
          "/v1/jobs?limit=" + std::to_string(limit) + (cursor.empty() ? "" : "&cursor=" + cursor),
          grant);
      REQUIRE(page.status == 200);
      for (const auto& item : page.json.at("items")) seen.push_back(item.at("job").at("id"));
      cursor = page.json.value("next_cursor", "");
    } while (!cursor.empty());
    INFO(limit);
    CHECK(seen == std::vector<std::string>(submitted.rbegin(), submitted.rend()));
  }
  CHECK(m.get("/v1/jobs?limit=0", grant).status == 400);
  CHECK(m.get("/v1/jobs?cursor=x", grant).status == 400);
  CHECK(m.get("/v1/jobs?status=odd", grant).status == 400);
}

TEST_CASE("jobs: listing by status and capabilities", "[market][jobs][mt]") {
  MarketFixture m;
  const std::string grant = m.grant();
  Json both = m.job({"a", "b"});
  both["tasks"][1]["capability"] = "/x/v1";
  const std::string one = m.submit(grant, m.job());
  const std::string two = m.submit(grant, both);
  const auto ids = [&](const std::string& query) {
    std::set<std::string> out;
    const Answer page = m.get("/v1/jobs?" + query, grant);
    for (const auto& item : page.json.at("items")) out.insert(item.at("job").at("id"));
    return out;
  };
  CHECK(ids("status=pending") == std::set<std::string>{one, two});
  CHECK(ids("status=failed").empty());
  CHECK(ids("capabilities=/x/v1") == std::set<std::string>{two});
  CHECK(ids("capabilities=/x/v1&capabilities=/noop/v1") == std::set<std::string>{one, two});
  CHECK(ids("capabilities=/x/v1&capabilities=/noop/v1&match_all_capabilities=true") ==
        std::set<std::string>{two});
}

TEST_CASE("jobs: a claim takes what fits the node, by priority, then age", "[market][jobs][mt]") {
  MarketFixture m;
  const std::string grant = m.grant();
  const Node plain = m.node(1, {"/noop/v1", "/x/v1"});
  const Node arm = m.node(2, {"/noop/v1"}, Json{{"hardware", "arm64"}, {"gpu", true}});
  Json spec = m.job({"old", "new", "urgent", "x", "filtered", "foreign"});
  spec["tasks"][2]["priority"] = 5;
  spec["tasks"][3]["capability"] = "/x/v1";
  spec["tasks"][4]["capability_filters"] = {{"hardware", "arm64"}};
  spec["tasks"][4]["priority"] = 9;
  spec["tasks"][5]["capability"] = "/nobody/v1";
  m.submit(grant, spec);
  const auto stage = [](const Answer& answer) {
    return answer.status == 200 ? answer.json.at("task").at("stage").get<std::string>() : "";
  };
  CHECK(stage(m.claim(arm)) == "filtered");
  CHECK(stage(m.get("/v1/tasks?capability=/x/v1", plain.token)) == "x");
  CHECK(m.get("/v1/tasks?capability=/x/v1", plain.token).status == 204);
  CHECK(stage(m.claim(plain)) == "urgent");
  CHECK(stage(m.claim(plain)) == "old");
  CHECK(stage(m.claim(arm)) == "new");
  CHECK(m.claim(plain).status == 204);
  // With another capability it finds what it found not before.
  REQUIRE(m.register_node(plain.wallet, {"/nobody/v1"}).status == 200);
  CHECK(stage(m.claim(plain)) == "foreign");
}

TEST_CASE("jobs: specs that cannot be are a 400; other domains a 403; bad tokens a 401",
          "[market][jobs][mt]") {
  MarketFixture m;
  const std::string grant = m.grant();
  const Node node = m.node(1);
  const Json cycle = Json::array({{{"from", "a"}, {"to", "b"}}, {{"from", "b"}, {"to", "a"}}});
  CHECK(code_of(m.post("/v1/jobs", grant, m.job({"a", "b"}, cycle))) == "job_cycle");
  const Json unknown = Json::array({{{"from", "a"}, {"to", "z"}}});
  CHECK(m.post("/v1/jobs", grant, m.job({"a"}, unknown)).status == 400);
  CHECK(m.post("/v1/jobs", grant, Json::object()).status == 400);
  Json foreign = m.job();
  foreign["domain_id"] = "other";
  CHECK(m.post("/v1/jobs", grant, foreign).status == 403);
  CHECK(m.get("/v1/jobs?domain_id=other", grant).status == 403);
  CHECK(m.post("/v1/jobs", node.token, m.job()).status == 401);
  CHECK(m.get("/v1/tasks", grant).status == 401);
  CHECK(m.get("/v1/tasks", "").status == 401);
  const Answer estimate = m.post("/v1/jobs/estimate", grant, m.job({"a", "b"}));
  REQUIRE(estimate.status == 200);
  CHECK(estimate.json.at("total").is_string());
  CHECK(estimate.json.at("tasks").at(1).at("stage") == "b");
}

TEST_CASE("jobs: a task token is renewed by a heartbeat once half of it is gone",
          "[market][jobs][mt]") {
  MarketFixture m;
  m.stop();
  m.settings.task_token_ttl = seconds(40);
  m.start();
  const std::string grant = m.grant();
  const Node node = m.node(1);
  m.submit(grant, m.job());
  const Json lease = m.claim(node).json;
  m.loop.clock.advance(seconds(20));
  CHECK_FALSE(m.beat(node, lease).json.contains("access_token"));
  m.loop.clock.advance(seconds(1));
  const Answer renewed = m.beat(node, lease);
  REQUIRE(renewed.json.contains("access_token"));
  CHECK(renewed.json.at("access_token") != lease.at("access_token"));
  CHECK_FALSE(m.beat(node, lease).json.contains("access_token"));
}

TEST_CASE("jobs: a claim may wait for work", "[market][jobs][mt]") {
  MarketFixture m;
  const std::string grant = m.grant();
  const Node node = m.node(1);
  http::Headers headers;
  headers.set("Prefer", "wait=20");
  std::optional<Answer> answer;
  const auto waiting = [&]() -> Awaitable<void> {
    answer = co_await m.send(http::Method::get, "/v1/tasks", "Bearer " + node.token, "", headers);
  };
  Started started(m.loop, waiting());
  m.loop.poll();

  SECTION("and gets it as soon as it comes") {
    m.submit(grant, m.job());
    m.until([&] { return answer.has_value(); });
    CHECK(answer->status == 200);
    CHECK(answer->headers.find("preference-applied") == std::string_view("wait"));
  }
  SECTION("and gets nothing when none comes") {
    // Its wait begins when the store has answered, in real time: virtual time moves on until then
    // too.
    const SteadyTime asked = m.loop.clock.steady_now();
    m.until([&] {
      m.loop.advance(std::chrono::milliseconds(200));
      return answer.has_value();
    });
    CHECK(m.loop.clock.steady_now() - asked >= seconds(20));
    CHECK(answer->status == 204);
  }
  SECTION("and the market's stop does not wait for it") {
    m.get("/health", "");
    m.stop();
    m.until([&] { return answer.has_value(); });
    CHECK(answer->status == 204);
    m.start();
  }
  m.until([&] { return started.done(); });
  started.rethrow();
}

TEST_CASE("jobs: three waiting nodes get three tasks", "[market][jobs][mt]") {
  MarketFixture m;
  const std::string grant = m.grant();
  http::Headers headers;
  headers.set("Prefer", "wait=20");
  std::vector<Node> nodes;
  for (int i = 1; i <= 3; ++i) nodes.push_back(m.node(i));
  std::vector<Answer> answers(3);
  std::vector<std::unique_ptr<Started>> started;
  const auto waiting = [&](std::size_t i) -> Awaitable<void> {
    answers[i] =
        co_await m.send(http::Method::get, "/v1/tasks", "Bearer " + nodes[i].token, "", headers);
  };
  for (std::size_t i = 0; i < 3; ++i) {
    started.push_back(std::make_unique<Started>(m.loop, waiting(i)));
  }
  m.get("/health", "");
  m.submit(grant, m.job({"a", "b", "c"}));
  std::set<std::string> tasks;
  for (std::size_t i = 0; i < 3; ++i) {
    m.until([&] { return started[i]->done(); });
    REQUIRE(answers[i].status == 200);
    tasks.insert(answers[i].json.at("task").at("id"));
  }
  CHECK(tasks.size() == 3);
}

TEST_CASE("jobs: who hung up while waiting gets no task", "[market][jobs][mt]") {
  MarketFixture m;
  const std::string grant = m.grant();
  const Node left = m.node(1);
  const Node stays = m.node(2);
  // Known to have found nothing, their polls wait at once.
  CHECK(m.claim(left).status == 204);
  CHECK(m.claim(stays).status == 204);
  const auto poll = [](const Node& node) {
    return "GET /v1/tasks HTTP/1.1\r\nHost: h\r\nPrefer: wait=20\r\nAuthorization: Bearer " +
           node.token + "\r\n\r\n";
  };
  pn::testing::RawClient first(m.loop, m.market->port());
  first.send(poll(left));
  m.get("/health", "");
  pn::testing::RawClient second(m.loop, m.market->port());
  second.send(poll(stays));
  m.get("/health", "");
  first.close();
  const std::string job = m.submit(grant, m.job());
  const auto answer = second.answer();
  REQUIRE(answer.status == 200);
  CHECK(Json::parse(answer.body).at("task").at("attempts") == 1);
  CHECK(m.task_status(grant, job) == "leased");
}

TEST_CASE("jobs: a database that fails costs a node no finished work", "[market][jobs][mt]") {
  MarketFixture m;
  m.stop();
  std::vector<std::string> lines;
  m.logger = log::Logger({log::Level::error, log::Format::json},
                         [&](log::Level, std::string_view line) { lines.emplace_back(line); });
  m.start();
  const std::string grant = m.grant();
  const Node node = m.node(1);
  const std::string job = m.submit(grant, m.job());
  const Json lease = m.claim(node).json;
  const auto other = open_session(m.settings.data_dir / "market.sqlite", false);
  execute(*other,
          "CREATE TRIGGER fault BEFORE INSERT ON attempts BEGIN SELECT RAISE(ABORT, 'worn'); END");
  const Answer failed = m.complete(node, lease);
  CHECK(failed.status == 500);  // a 4xx would settle the receipt
  CHECK(failed.json.dump().find("INSERT") == std::string::npos);
  REQUIRE(lines.size() == 1);
  CHECK_THAT(lines[0], Catch::Contains("request.failed") && Catch::Contains("worn"));
  execute(*other, "DROP TRIGGER fault");
  CHECK(m.complete(node, lease).status == 200);
  CHECK(m.job_status(grant, job) == "completed");
}

TEST_CASE("jobs: a task that could not be leased is refused when it is submitted",
          "[market][jobs][mt]") {
  MarketFixture m;
  const std::string grant = m.grant();
  const Node node = m.node(1);
  Json spec = m.job();
  spec["tasks"][0]["inputs_cids"] = Json::array();
  for (int i = 0; i < 13'000; ++i) {  // of 36 bytes each, as ids are
    spec["tasks"][0]["inputs_cids"].push_back(std::string(36, 'i'));
  }
  spec["tasks"][0]["meta"] = {{"text", std::string(500'000, 'm')}};
  CHECK(m.post("/v1/jobs", grant, spec).status == 200);
  CHECK(m.claim(node).status == 200);
  spec["tasks"][0]["meta"] = {{"text", std::string(600'000, 'm')}};
  const Answer refused = m.post("/v1/jobs", grant, spec);
  CHECK(refused.status == 400);
  CHECK_THAT(refused.json.dump(), Catch::Contains("1 MiB"));
}

TEST_CASE("jobs: task classes that could not be read are read by the sweep", "[market][jobs][mt]") {
  MarketFixture m;
  const std::string grant = m.grant();
  const Node node = m.node(1);
  const auto other = open_session(m.settings.data_dir / "market.sqlite", false);
  const auto jobs = [&] {
    int count = 0;
    *other << "SELECT count(*) FROM jobs", soci::into(count);
    return count;
  };
  std::optional<Answer> answer;
  const std::string spec = m.job().dump();
  const auto submitting = [&]() -> Awaitable<void> {
    answer = co_await m.send(http::Method::post, "/v1/jobs", "Bearer " + grant, spec, {});
  };
  Started started(m.loop, submitting());
  // The job is committed on the writer's thread while the loop stands still; then the look fails.
  for (int waits = 0; jobs() == 0 && !answer && waits < 10'000; ++waits) {
    m.loop.context.restart();
    if (m.loop.context.poll_one() == 0) std::this_thread::yield();
    for (int looks = 0; looks < 20 && jobs() == 0; ++looks) std::this_thread::yield();
  }
  execute(*other, "ALTER TABLE task_classes RENAME COLUMN capability TO hidden");
  m.until([&] { return answer.has_value(); });
  CHECK(answer->status == 200);
  execute(*other, "ALTER TABLE task_classes RENAME COLUMN hidden TO capability");
  m.loop.advance(seconds(31));
  Answer claimed;
  m.until([&] {
    m.loop.advance(seconds(1));
    claimed = m.claim(node);
    return claimed.status == 200;
  });
  m.until([&] { return started.done(); });
  started.rethrow();
}

}  // namespace pn::market::testing
