#include "base/digest.hpp"
#include "base/json.hpp"
#include "market/data_types.hpp"
#include "tests/http/raw_client.hpp"
#include "tests/market/domain_server.hpp"
#include "tests/support/test_loop.hpp"

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace pn::market {
namespace {

using testing::RawAnswer;
using Server = DomainServer;

constexpr std::size_t kPart = 8 * 1024 * 1024;
const std::string kUpload = "/data/multipart?uploadId=";

std::string error_code(const RawAnswer& answer) {
  return Json::parse(answer.body)["error"]["code"];
}

std::string begin(Server& server, const Json& body) {
  const RawAnswer answer = server.ask("POST", "/data/multipart?uploads", body.dump());
  INFO(answer.body);
  REQUIRE(answer.status == 200);
  const Json json = Json::parse(answer.body);
  CHECK(json["part_size"] == kPart);
  CHECK(json["expires_at"] == "2026-11-21T10:00:00.000Z");
  const std::string id = json["upload_id"];
  CHECK(id.find_first_not_of("0123456789abcdef") == std::string::npos);  // used in URLs as it is
  return id;
}

Json named(std::string_view name) { return {{"name", name}, {"data_type", "t"}}; }

RawAnswer put(Server& server, const std::string& id, int number, std::string_view bytes) {
  return server.ask("PUT", kUpload + id + "&partNumber=" + std::to_string(number), bytes);
}

Json listed(const std::vector<std::string>& etags) {
  Json parts = Json::array();
  for (std::size_t i = 0; i < etags.size(); ++i) {
    parts.push_back({{"part_number", i + 1}, {"etag", etags[i]}});
  }
  return {{"parts", parts}};
}

RawAnswer complete(Server& server, const std::string& id, const std::vector<std::string>& etags) {
  return server.ask("POST", kUpload + id, listed(etags).dump());
}

std::string etag_of(const RawAnswer& answer) {
  INFO(answer.body);
  REQUIRE(answer.status == 200);
  return Json::parse(answer.body)["etag"];
}

std::string pattern(std::size_t bytes) {
  std::string out(bytes, '\0');
  for (std::size_t i = 0; i < bytes; ++i) out[i] = static_cast<char>('a' + (i / 7) % 26);
  return out;
}

}  // namespace

TEST_CASE("upload: parts in any order make one record", "[market][data][mt]") {
  Server server;
  const std::string bytes = pattern(2 * kPart + 100);
  const std::string id = begin(server,
                               {{"name", "n"},
                                {"data_type", "t"},
                                {"size", bytes.size()},
                                {"existing_id", nullptr},
                                {"content_type", "application/octet-stream"}});
  const std::string_view all = bytes;
  const std::string three = etag_of(put(server, id, 3, all.substr(2 * kPart)));
  const std::string one = etag_of(put(server, id, 1, all.substr(0, kPart)));
  const std::string old_two = etag_of(put(server, id, 2, std::string(kPart, '?')));
  const std::string two = etag_of(put(server, id, 2, all.substr(kPart, kPart)));  // sent again
  CHECK(error_code(complete(server, id, {one, old_two, three})) == "part_etag");
  CHECK(Json::parse(server.ask("GET", "/data").body)["data"].empty());

  const RawAnswer done = complete(server, id, {one, two, "\"" + three + "\""});
  INFO(done.body);
  REQUIRE(done.status == 200);
  const Json item = Json::parse(done.body);
  CHECK(item["name"] == "n");
  CHECK(item["size"] == bytes.size());
  const RawAnswer raw = server.ask("GET", "/data/" + item["id"].get<std::string>() + "?raw=true");
  CHECK(raw.body == bytes);
  CHECK(raw.field("ETag") == "\"" + sha256_hex(bytes) + "\"");
  CHECK(server.files() == 1);

  // The answer was lost: the same again, with whatever list; an abort then does nothing.
  CHECK(complete(server, id, {one, two, three}).body == done.body);
  CHECK(server.ask("DELETE", kUpload + id).status == 204);
  CHECK(server.ask("GET", "/data/" + item["id"].get<std::string>() + "?raw=true").body == bytes);
  CHECK(put(server, id, 1, "x").status == 409);
}

TEST_CASE("upload: of an existing record it is an update", "[market][data][mt]") {
  Server server;
  const std::string old = server.create("n", "t", "old");
  CHECK(server.ask("POST", "/data/multipart?uploads", named("n").dump()).status == 409);
  Json body = named("n");
  body["existing_id"] = old;
  const std::string id = begin(server, body);
  const std::string etag = etag_of(put(server, id, 1, "newer"));
  const RawAnswer done = complete(server, id, {etag});
  REQUIRE(done.status == 200);
  CHECK(Json::parse(done.body)["id"] == old);
  CHECK(server.ask("GET", "/data/" + old + "?raw=true").body == "newer");
  CHECK(server.files() == 1);
  body["existing_id"] = "none";
  CHECK(server.ask("POST", "/data/multipart?uploads", body.dump()).status == 404);
}

TEST_CASE("upload: a completion that does not fit is refused, and may be mended",
          "[market][data][mt]") {
  Server server;
  const std::string id = begin(server, named("n"));
  const std::string one = etag_of(put(server, id, 1, pattern(kPart)));
  const std::string two = etag_of(put(server, id, 2, "def"));
  CHECK(error_code(complete(server, id, {})) == "parts_order");
  CHECK(error_code(complete(server, id, {one})) == "part_missing");
  CHECK(error_code(complete(server, id, {one, one})) == "part_etag");
  CHECK(error_code(complete(server, id, {one, two, two})) == "part_size");  // 2 is not 8 MiB
  const std::string long_two = etag_of(put(server, id, 2, pattern(kPart)));
  CHECK(error_code(complete(server, id, {one, long_two, two})) == "part_missing");
  CHECK(error_code(server.ask(
            "POST", kUpload + id, R"({"parts":[{"part_number":2,"etag":"x"}]})")) == "parts_order");
  CHECK(server.ask("POST", kUpload + id, "[]").status == 400);
  CHECK(server.ask("POST", kUpload + id, "{").status == 400);
  etag_of(put(server, id, 2, "def"));
  const RawAnswer done = complete(server, id, {one, two});
  CHECK(done.status == 200);
  CHECK(Json::parse(done.body)["size"] == kPart + 3);
}

TEST_CASE("upload: a part that comes again after a refused completion makes no zeros",
          "[market][data][mt]") {
  Server server;
  const std::string id = begin(server, named("n"));
  const std::string one = etag_of(put(server, id, 1, pattern(kPart)));
  const std::string two = etag_of(put(server, id, 2, "tail"));
  // Somebody else takes the name meanwhile.
  const std::string other = begin(server, named("n"));
  const std::string whole = etag_of(put(server, other, 1, "other"));
  const RawAnswer taken = complete(server, other, {whole});
  REQUIRE(taken.status == 200);
  CHECK(complete(server, id, {one, two}).status == 409);
  etag_of(put(server, id, 2, "TAIL"));
  const std::string again = etag_of(put(server, id, 2, "tail"));
  REQUIRE(server.ask("DELETE", "/data/" + std::string(Json::parse(taken.body)["id"])).status ==
          204);
  const RawAnswer done = complete(server, id, {one, again});
  INFO(done.body);
  REQUIRE(done.status == 200);
  const std::string item = Json::parse(done.body)["id"];
  CHECK(server.ask("GET", "/data/" + item + "?raw=true").body == pattern(kPart) + "tail");
}

TEST_CASE("upload: a shorter last part sent again leaves no old end", "[market][data][mt]") {
  Server server;
  const std::string id = begin(server, named("n"));
  etag_of(put(server, id, 1, "a long first try"));
  const std::string etag = etag_of(put(server, id, 1, "short"));
  const RawAnswer done = complete(server, id, {etag});
  REQUIRE(done.status == 200);
  const std::string item = Json::parse(done.body)["id"];
  CHECK(server.ask("GET", "/data/" + item + "?raw=true").body == "short");
}

TEST_CASE("upload: parts are held to what was declared", "[market][data][mt]") {
  Server server;
  Json body = named("n");
  body["size"] = kPart + 10;
  const std::string id = begin(server, body);
  CHECK(put(server, id, 3, "x").status == 400);
  CHECK(put(server, id, 2, pattern(11)).status == 413);
  CHECK(put(server, id, 0, "x").status == 400);
  CHECK(put(server, id, 10001, "x").status == 400);
  CHECK(put(server, id, 1, "").status == 400);
  CHECK(put(server, "none", 1, "x").status == 404);
  CHECK(server.ask("POST", "/data/multipart", "{}").status == 400);
  const std::string one = etag_of(put(server, id, 1, pattern(kPart)));
  const std::string two = etag_of(put(server, id, 2, pattern(9)));
  CHECK(error_code(complete(server, id, {one, two})) == "upload_size");
}

TEST_CASE("upload: what may not be begun", "[market][data][mt]") {
  Server server;
  const auto status = [&](const Json& body) {
    return server.ask("POST", "/data/multipart?uploads", body.dump()).status;
  };
  CHECK(status({{"name", "n"}}) == 400);
  CHECK(status({{"name", "a/b"}, {"data_type", "t"}}) == 400);
  CHECK(status({{"name", "n"}, {"data_type", "t"}, {"size", 0}}) == 400);
  CHECK(status({{"name", "n"}, {"data_type", "t"}, {"size", -1}}) == 400);
  CHECK(status({{"name", 7}, {"data_type", "t"}}) == 400);
  CHECK(part_size_for(std::nullopt) == kPart);
  CHECK(part_size_for(kPart * 10'000) == kPart);
  CHECK(part_size_for(kPart * 10'000 + 1) == kPart + 1024 * 1024);
}

TEST_CASE("upload: abort and expiry remove the parts", "[market][data][mt]") {
  Server server;
  const std::string one = begin(server, named("one"));
  etag_of(put(server, one, 1, "x"));
  const std::string two = begin(server, named("two"));
  const std::string etag = etag_of(put(server, two, 1, "x"));
  const std::string three = begin(server, named("three"));
  const RawAnswer done = complete(server, three, {etag_of(put(server, three, 1, "y"))});
  CHECK(done.status == 200);
  CHECK(server.files() == 3);

  CHECK(server.ask("DELETE", kUpload + one).status == 204);
  CHECK(server.ask("DELETE", kUpload + one).status == 204);
  CHECK(put(server, one, 1, "x").status == 404);
  CHECK(server.files() == 2);

  testing::Started cleaning(server.loop, server.service().clean());
  server.loop.clock.advance(std::chrono::hours(24));
  CHECK(complete(server, two, {etag}).status == 404);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (server.files() > 1 && std::chrono::steady_clock::now() < end) server.loop.poll();
  CHECK(server.files() == 1);  // the completed one's bytes belong to its record
  CHECK_FALSE(cleaning.done());
  cleaning.cancel();
  while (!cleaning.done() && std::chrono::steady_clock::now() < end) server.loop.poll();
  CHECK(cleaning.done());
}

TEST_CASE("upload: each part gives it another day", "[market][data][mt]") {
  Server server;
  const std::string id = begin(server, named("n"));
  const std::string one = etag_of(put(server, id, 1, pattern(kPart)));
  server.loop.clock.advance(std::chrono::hours(20));
  const std::string two = etag_of(put(server, id, 2, "tail"));
  server.loop.clock.advance(std::chrono::hours(10));
  server.loop.run(server.service().remove_expired_uploads());
  CHECK(complete(server, id, {one, two}).status == 200);
}

TEST_CASE("upload: one part is not received twice at a time, nor completed meanwhile",
          "[market][data][mt]") {
  Server server;
  const std::string id = begin(server, named("n"));
  auto slow = server.connect();
  std::string request = server.request("PUT", kUpload + id + "&partNumber=1", "abcdef");
  slow.send(request.substr(0, request.size() - 3));
  // Until it is begun, another may still win; then it is refused.
  RawAnswer second = put(server, id, 2, "x");
  REQUIRE(second.status == 200);
  const RawAnswer refused = put(server, id, 1, "other");
  CHECK(refused.status == 503);  // a 409 would be final, and this passes
  CHECK(error_code(refused) == "upload_busy");
  CHECK(refused.field("Retry-After") == "1");
  CHECK(complete(server, id, {"x"}).status == 503);
  slow.send("def");
  CHECK_FALSE(etag_of(slow.answer()).empty());
}

TEST_CASE("upload: a part that breaks off does not count, and comes again", "[market][data][mt]") {
  Server server;
  const std::string id = begin(server, named("n"));
  etag_of(put(server, id, 1, "first try"));
  {
    auto client = server.connect();
    const std::string request = server.request("PUT", kUpload + id + "&partNumber=1", "second");
    client.send(request.substr(0, request.size() - 2));
    REQUIRE(put(server, id, 2, "x").status == 200);  // so it was read
  }
  RawAnswer again = put(server, id, 1, "third");
  for (int i = 0; i < 100 && again.status == 503; ++i) again = put(server, id, 1, "third");
  const std::string etag = etag_of(again);
  const std::string two = etag_of(put(server, id, 2, "x"));
  CHECK(error_code(complete(server, id, {etag, two})) == "part_size");
}

}  // namespace pn::market
