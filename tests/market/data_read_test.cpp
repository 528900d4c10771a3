#include "base/digest.hpp"
#include "base/encoding.hpp"
#include "base/json.hpp"
#include "http/multipart.hpp"
#include "market/data_ranges.hpp"
#include "tests/http/raw_client.hpp"
#include "tests/market/domain_server.hpp"

#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace pn::market {
namespace {

using testing::RawAnswer;

struct Part {
  http::PartHeader header;
  std::string body;
};

/// What a node reads of a multipart answer.
std::vector<Part> parts_of(const RawAnswer& answer) {
  const std::string type = answer.field("Content-Type");
  const std::string prefix = "multipart/form-data; boundary=";
  REQUIRE(type.starts_with(prefix));
  using What = http::MultipartReader::What;
  http::MultipartReader reader(type.substr(prefix.size()), http::MultipartReader::Delimit::by_size);
  reader.feed(answer.body);
  std::vector<Part> out;
  for (;;) {
    const auto event = reader.next();
    REQUIRE(event.ok());
    if (event->what == What::part) out.push_back({reader.part(), {}});
    if (event->what == What::data) out.back().body += event->data;
    if (event->what == What::end) break;
    REQUIRE(event->what != What::need_input);
  }
  CHECK(reader.finish().ok());
  return out;
}

std::string digest_of(const std::string& bytes) {
  const Sha256Digest digest = sha256(bytes);
  return to_base64(std::string(digest.begin(), digest.end()));
}

const std::string kMultipart = "Accept: multipart/form-data\r\n";

}  // namespace

TEST_CASE("data: metadata has all seven fields, and a digest", "[market][data][mt]") {
  DomainServer server;
  const std::string id = server.create("scan", "ply", "12345");
  const Json one = Json::parse(server.ask("GET", "/data/" + id).body);
  CHECK(one == Json{{"id", id},
                    {"domain_id", "d-1"},
                    {"name", "scan"},
                    {"data_type", "ply"},
                    {"size", 5},
                    {"created_at", "2026-11-20T10:00:00.000Z"},
                    {"updated_at", "2026-11-20T10:00:00.000Z"},
                    {"digest", "sha-256=:WZRHGrsBESr8wYFZ9sx0tPURuZgG2lmzyvWpwXPKz8U=:"}});
  CHECK(server.ask("GET", "/data/none").status == 404);
}

TEST_CASE("data: a listing in JSON is filtered by ids, name and type", "[market][data][mt]") {
  DomainServer server;
  const std::string a = server.create("a", "ply", "1");
  const std::string b = server.create("b", "ply", "2");
  const std::string c = server.create("a", "json", "3");
  const auto ids = [&](const std::string& query) {
    const RawAnswer answer = server.ask("GET", "/data" + query, "", "Accept: application/json\r\n");
    CHECK(answer.status == 200);
    CHECK(answer.field("Content-Type") == "application/json");
    std::vector<std::string> out;
    const Json json = Json::parse(answer.body);
    for (const Json& one : json["data"]) out.push_back(one["id"]);
    return out;
  };
  using Ids = std::vector<std::string>;
  CHECK(ids("") == Ids{a, b, c});
  CHECK(ids("?data_type=ply") == Ids{a, b});
  CHECK(ids("?name=a") == Ids{a, c});
  CHECK(ids("?data_type=json&name=a") == Ids{c});
  CHECK(ids("?ids=" + c + "," + a + ",none," + c) == Ids{c, a});
  CHECK(ids("?ids=" + c + "," + a + "&data_type=ply") == Ids{a});
  CHECK(ids("?name=nothing").empty());
}

TEST_CASE("data: a long listing comes in pages, in JSON and in parts", "[market][data][mt]") {
  DomainServer server;
  constexpr int kItems = 300;  // a page is 256
  for (int from = 0; from < kItems; from += 100) {
    std::string form;
    for (int i = from; i < from + 100; ++i) {
      form += DomainServer::form_part("name=n" + std::to_string(i) + "; data-type=t",
                                      std::string(static_cast<std::size_t>(i), 'x'));
    }
    REQUIRE(server.put_form("POST", form).status == 200);
  }
  const Json data = Json::parse(server.ask("GET", "/data").body)["data"];
  REQUIRE(data.size() == kItems);
  const std::vector<Part> parts = parts_of(server.ask("GET", "/data", "", kMultipart));
  REQUIRE(parts.size() == kItems);
  for (std::size_t i = 0; i < kItems; ++i) {
    CHECK(data[i]["name"] == "n" + std::to_string(i));
    CHECK(parts[i].header.get("name") == "n" + std::to_string(i));
    CHECK(parts[i].body.size() == i);
  }
}

TEST_CASE("data: the multipart answer is what nodes read", "[market][data][mt]") {
  DomainServer server;
  const std::string hostile = "x\r\n--boundary-like\r\n\r\n";
  const std::string a = server.create("scan; \\\"1\\\"", "refined_scan_zip", hostile);
  const std::string b = server.create("empty", "t", "");
  const std::string big(3'000'000, 'z');
  const std::string c = server.create("big", "t", big);
  const RawAnswer answer = server.ask("GET", "/data?ids=" + a + "," + b + "," + c, "", kMultipart);
  CHECK(answer.status == 200);
  CHECK(answer.field("Posemesh-Part-Count") == "3");
  const std::vector<Part> parts = parts_of(answer);
  REQUIRE(parts.size() == 3);
  CHECK(parts[0].body == hostile);
  CHECK(parts[0].header.content_type == "application/octet-stream");
  CHECK(parts[0].header.disposition == std::map<std::string, std::string, std::less<>>{
                                           {"name", "scan; \"1\""},
                                           {"data-type", "refined_scan_zip"},
                                           {"id", a},
                                           {"domain-id", "d-1"},
                                           {"size", std::to_string(hostile.size())},
                                           {"created-at", "2026-11-20T10:00:00.000Z"},
                                           {"updated-at", "2026-11-20T10:00:00.000Z"}});
  CHECK(parts[0].header.content_digest == "sha-256=:" + digest_of(hostile) + ":");
  CHECK(parts[1].body.empty());
  CHECK(parts[1].header.content_digest == "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:");
  CHECK(parts[2].body == big);
  CHECK(server.ask("GET", "/data?ids=none", "", kMultipart).status == 404);
}

TEST_CASE("data: raw bytes carry their digest, ranges and conditions work", "[market][data][mt]") {
  DomainServer server;
  const std::string id = server.create("n", "t", "0123456789");
  const std::string path = "/data/" + id + "?raw=true";
  const RawAnswer whole = server.ask("GET", path);
  const std::string etag = "\"" + sha256_hex("0123456789") + "\"";
  const std::string digest = "sha-256=:hNiYd/DUBB77a/kaFvAkjy/Vc+avBcGflr7bn4gveII=:";
  CHECK(whole.status == 200);
  CHECK(whole.body == "0123456789");
  CHECK(whole.field("ETag") == etag);
  CHECK(whole.field("Content-Digest") == digest);
  CHECK(whole.field("Accept-Ranges") == "bytes");
  CHECK(whole.field("Content-Type") == "application/octet-stream");

  const RawAnswer part = server.ask("GET", path, "", "Range: bytes=2-4\r\n");
  CHECK(part.status == 206);
  CHECK(part.body == "234");
  CHECK(part.field("Content-Range") == "bytes 2-4/10");
  CHECK(part.field("Content-Digest").empty());  // it would be of these three bytes
  CHECK(part.field("Repr-Digest") == digest);

  const RawAnswer past = server.ask("GET", path, "", "Range: bytes=10-\r\n");
  CHECK(past.status == 416);
  CHECK(past.field("Content-Range") == "bytes */10");

  CHECK(server.ask("GET", path, "", "If-None-Match: W/\"x\", " + etag + "\r\n").status == 304);
  CHECK(server.ask("GET", path, "", "If-None-Match: \"x\"\r\n").status == 200);
  CHECK(server.ask("GET", path, "", "Range: bytes=0-0\r\nIf-Range: \"old\"\r\n").body.size() == 10);
  CHECK(server.ask("GET", path, "", "Range: bytes=0-0\r\nIf-Range: " + etag + "\r\n").body == "0");
  const RawAnswer head = server.ask("HEAD", path);
  CHECK(head.status == 200);
  CHECK(head.field("Content-Length") == "10");
}

TEST_CASE("data: ranges", "[market][data]") {
  using Kind = RangeKind;
  struct Case {
    std::string field;
    Kind kind;
    ByteRange range;
  };
  const auto c = GENERATE(values<Case>({
      {"bytes=0-0", Kind::part, {0, 1}},
      {"bytes=5-", Kind::part, {5, 5}},
      {"bytes=5-100", Kind::part, {5, 5}},
      {"bytes=-3", Kind::part, {7, 3}},
      {"bytes=-30", Kind::part, {0, 10}},
      {"bytes = 0-1", Kind::whole, {0, 10}},
      {"bytes=-0", Kind::unsatisfiable, {}},
      {"bytes=10-11", Kind::unsatisfiable, {}},
      {"bytes=0-1,3-4", Kind::whole, {0, 10}},
      {"bytes=4-3", Kind::whole, {0, 10}},
      {"bytes=a-b", Kind::whole, {0, 10}},
      {"bytes=-", Kind::whole, {0, 10}},
      {"items=0-1", Kind::whole, {0, 10}},
  }));
  CAPTURE(c.field);
  const RangeAnswer answer = parse_range(c.field, 10);
  CHECK(answer.kind == c.kind);
  CHECK(answer.range == c.range);
}

TEST_CASE("data: who may do what", "[market][data][mt]") {
  DomainServer server;
  const std::string id = server.create("n", "t", "x");
  const auto with = [](const std::string& token) {
    return "Authorization: Bearer " + token + "\r\n";
  };
  CHECK(server.ask("GET", "/data", "", "Authorization: Basic x\r\n").status == 401);
  CHECK(server.ask("GET", "/data", "", with("nonsense")).status == 401);
  CHECK(server.ask("GET", "/data", "", with(server.task_token("d-2"))).status == 403);
  CHECK(server.ask("DELETE", "/data/" + id, "", with(server.task_token("d-2"))).status == 403);
  CHECK(server.ask("POST", "/data", "", with("nonsense")).status == 401);
  CHECK(server.ask("PUT", "/data/multipart?uploadId=x&partNumber=1", "", with("x")).status == 401);
  CHECK(server.ask("GET", "/data/" + id).status == 200);
}

TEST_CASE("data: info is open, what is left out says so", "[market][data][mt]") {
  DomainServer server;
  auto client = server.connect();
  const RawAnswer info = client.ask("GET /api/v1/info HTTP/1.1\r\nHost: h\r\n\r\n");
  CHECK(Json::parse(info.body) ==
        Json{{"upload",
              {{"request_max_bytes", 104857600},
               {"multipart", {{"enabled", true}, {"max_parts", 10000}}}}}});
  for (const auto& [method, path] :
       std::vector<std::pair<std::string, std::string>>{{"GET", "/lighthouses"},
                                                        {"PUT", "/lighthouses/x"},
                                                        {"DELETE", "/lighthouses/x"},
                                                        {"GET", "/backup"},
                                                        {"PUT", "/restore"},
                                                        {"POST", "/process"}}) {
    CAPTURE(method, path);
    const RawAnswer answer = server.ask(method, path);
    CHECK(answer.status == 501);
    CHECK(answer.body.find("yet") != std::string::npos);
  }
}

}  // namespace pn::market
