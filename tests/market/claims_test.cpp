#include "base/awaitable.hpp"
#include "base/json.hpp"
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

using std::chrono::seconds;

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
  std::vector<std::string> lines;
  m.log_errors_to(lines);
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

TEST_CASE("jobs: a receipt may list twenty thousand artifacts", "[market][jobs][mt]") {
  MarketFixture m;
  const std::string grant = m.grant();
  const Node node = m.node(1);
  m.submit(grant, m.job());
  const Json lease = m.claim(node).json;
  Json artifacts = Json::array();
  for (int i = 0; i < 20'000; ++i) {
    const std::string name = std::to_string(i) + std::string(40, 'n');
    artifacts.push_back({{"logical_path", "out/" + name},
                         {"name", name},
                         {"data_type", "binary"},
                         {"id", std::string(36, 'i')}});
  }
  const Json receipt{{"output_cids", Json::array()}, {"meta", {{"artifacts", artifacts}}}};
  REQUIRE(receipt.dump().size() > 2 * 1024 * 1024);
  CHECK(m.report(node, lease, "complete", receipt).status == 200);
  const Json listed = m.get("/v1/jobs", grant).json;
  CHECK(listed.at("items").at(0).at("job").at("status") == "completed");
}

TEST_CASE("jobs: task classes that could not be read are read by the sweep", "[market][jobs][mt]") {
  MarketFixture m;
  std::vector<std::string> lines;
  m.log_errors_to(lines);
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
  const http::Headers headers;
  const auto submitting = [&]() -> Awaitable<void> {
    answer = co_await m.send(http::Method::post, "/v1/jobs", "Bearer " + grant, spec, headers);
  };
  Started started(m.loop, submitting());
  // The job is committed on the writer's thread while the loop stands still; then the look fails.
  const auto end = std::chrono::steady_clock::now() + seconds(20);
  while (jobs() == 0 && !answer && std::chrono::steady_clock::now() < end) {
    m.loop.context.restart();
    if (m.loop.context.poll_one() == 0) std::this_thread::yield();
    for (int looks = 0; looks < 20 && jobs() == 0; ++looks) std::this_thread::yield();
  }
  REQUIRE(jobs() == 1);
  execute(*other, "ALTER TABLE task_classes RENAME COLUMN capability TO hidden");
  m.until([&] { return answer.has_value(); });
  CHECK(answer->status == 200);
  REQUIRE(lines.size() == 1);
  CHECK_THAT(lines[0], Catch::Contains("classes.failed"));
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
