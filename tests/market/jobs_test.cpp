#include "base/json.hpp"
#include "base/time.hpp"
#include "http/types.hpp"
#include "tests/market/market_fixture.hpp"

#include <chrono>
#include <set>
#include <string>
#include <vector>

namespace pn::market::testing {

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
  // What nodes that we did not write need (wire.md).
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
  CHECK(m.claim(node).status == 204);  // not at once (retries_test.cpp)
  Json second;
  m.until([&] {
    m.loop.advance(std::chrono::milliseconds(200));
    second = m.claim(node).json;
    return second.is_object();
  });
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

}  // namespace pn::market::testing
