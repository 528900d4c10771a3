#include "base/json.hpp"
#include "tests/http/raw_client.hpp"
#include "tests/market/market_fixture.hpp"

#include <chrono>
#include <string>
#include <string_view>

// What a task token may still write, by what became of its lease.

namespace pn::market::testing {

using pn::testing::RawAnswer;
using pn::testing::RawClient;

namespace {

/// A market with one task, the two nodes that get it one after the other, and a record of the
/// first one's.
struct Handover {
  MarketFixture m;
  const std::string grant = m.grant();
  const Node first = m.node(1);
  const Node second = m.node(2);
  const std::string job = m.submit(grant, m.job());
  const std::string token = m.claim(first).json.at("access_token");
  std::string item;
  std::string upload;  ///< of the item, ready to be completed
  Json parts = Json::array();

  Handover() {
    item = Json::parse(form("POST", token, "name=a; data-type=t", "old").body)["data"][0]["id"];
    const Json begin{{"name", "a"}, {"data_type", "t"}, {"existing_id", item}};
    const std::string path = "/data/multipart?upload";
    const RawAnswer begun = ask("POST", path + "s", token, begin.dump());
    upload = path + "Id=" + Json::parse(begun.body)["upload_id"].get<std::string>();
    const RawAnswer part = ask("PUT", upload + "&partNumber=1", token, "uploaded");
    parts.push_back({{"part_number", 1}, {"etag", Json::parse(part.body)["etag"]}});
  }

  /// `path` is what follows the domain.
  RawAnswer ask(std::string_view method,
                const std::string& path,
                const std::string& bearer,
                const std::string& body = "",
                const std::string& type = "application/json") {
    const std::string domain = m.market->bootstrapped().domain.str();
    RawClient client(m.loop, m.market->port());
    return client.ask(std::string(method) + " /api/v1/domains/" + domain + path +
                      " HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer " + bearer +
                      "\r\nContent-Type: " + type +
                      "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
  }
  RawAnswer form(std::string_view method,
                 const std::string& bearer,
                 const std::string& disposition,
                 const std::string& bytes) {
    const std::string body = "--b\r\nContent-Disposition: form-data; " + disposition + "\r\n\r\n" +
                             bytes + "\r\n--b--\r\n";
    return ask(method, "/data", bearer, body, "multipart/form-data; boundary=b");
  }
  RawAnswer update(const std::string& bearer, const std::string& bytes) {
    return form("PUT", bearer, "id=" + item, bytes);
  }
  RawAnswer complete(const std::string& bearer) {
    return ask("POST", upload, bearer, Json{{"parts", parts}}.dump());
  }
  RawAnswer remove(const std::string& bearer) { return ask("DELETE", "/data/" + item, bearer); }

  /// The first node is silent until the sweep has put its task back.
  void expire() {
    m.loop.advance(std::chrono::seconds(32));
    m.until([&] { return m.task_status(grant, job) == "queued"; });
  }
};

}  // namespace

TEST_CASE("data: who lost its lease writes until the task is claimed again", "[market][data][mt]") {
  Handover h;
  h.expire();
  SECTION("nobody has claimed it") {
    CHECK(h.update(h.token, "late").status == 200);
    CHECK(h.complete(h.token).status == 200);
    CHECK(h.remove(h.token).status == 204);
  }
  SECTION("another node has") {
    const Answer claimed = h.m.claim(h.second);
    REQUIRE(claimed.status == 200);
    const std::string newer = claimed.json.at("access_token");
    CHECK(h.update(newer, "newer").status == 200);
    const RawAnswer refused = h.update(h.token, "late");
    CHECK(refused.status == 401);
    CHECK(Json::parse(refused.body)["error"]["code"] == "lease_over");
    CHECK(h.form("POST", h.token, "name=b; data-type=t", "late").status == 401);
    CHECK(h.complete(h.token).status == 401);
    CHECK(h.remove(h.token).status == 401);
    CHECK(h.ask("GET", "/data/" + h.item + "?raw=true", newer).body == "newer");
    CHECK(Json::parse(h.ask("GET", "/data", newer).body)["data"].size() == 1);
    CHECK(h.complete(newer).status == 200);
  }
}

TEST_CASE("data: the holder of a canceled task may remove what it made", "[market][data][mt]") {
  Handover h;
  REQUIRE(h.m.post("/v1/jobs/" + h.job + "/cancel", h.grant, Json::object()).status == 200);
  CHECK(h.remove(h.token).status == 204);
}

}  // namespace pn::market::testing
