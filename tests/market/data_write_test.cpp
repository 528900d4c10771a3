#include "base/file.hpp"
#include "base/json.hpp"
#include "base/offload.hpp"
#include "base/result.hpp"
#include "market/file_blobs.hpp"
#include "market/sqlite.hpp"
#include "tests/http/raw_client.hpp"
#include "tests/market/domain_server.hpp"

#include <chrono>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace pn::market {
namespace {

using testing::RawAnswer;
using Server = DomainServer;

std::string error_code(const RawAnswer& answer) {
  return Json::parse(answer.body)["error"]["code"];
}

}  // namespace

TEST_CASE("data: one request creates several records", "[market][data][mt]") {
  Server server;
  const RawAnswer answer =
      server.put_form("POST",
                      Server::form_part("name=\"a\"; data-type=\"t\"", "1\r\n--boundaryish\r\n") +
                          Server::form_part("data-type=t; name=b", ""));
  REQUIRE(answer.status == 200);
  const Json data = Json::parse(answer.body)["data"];
  REQUIRE(data.size() == 2);
  CHECK(data[0]["name"] == "a");
  CHECK(data[0]["size"] == 18);
  CHECK(data[1]["size"] == 0);
  const std::string raw =
      server.ask("GET", "/data/" + data[0]["id"].get<std::string>() + "?raw=1").body;
  CHECK(raw == "1\r\n--boundaryish\r\n");
  CHECK(server.files() == 2);
}

TEST_CASE("data: a name and type that exist are a 409, and nothing of the request stays",
          "[market][data][mt]") {
  Server server;
  server.create("a", "t", "old");
  const RawAnswer answer = server.put_form("POST",
                                           Server::form_part("name=new; data-type=t", "x") +
                                               Server::form_part("name=a; data-type=t", "y"));
  CHECK(answer.status == 409);
  CHECK(error_code(answer) == "name_taken");
  CHECK(Json::parse(server.ask("GET", "/data").body)["data"].size() == 1);
  CHECK(server.files() == 1);
  SECTION("twice in one request") {
    CHECK(server
              .put_form("POST",
                        Server::form_part("name=b; data-type=t", "1") +
                            Server::form_part("name=b; data-type=t", "2"))
              .status == 409);
    CHECK(server.files() == 1);
  }
  SECTION("in another domain it is free") {
    auto client = server.connect();
    std::string request =
        server.request("POST",
                       "/data",
                       Server::form_part("name=a; data-type=t", "z") + "--boundary--",
                       std::string(Server::kFormType) + "Authorization: Bearer " +
                           server.task_token("d-2") + "\r\n");
    request.replace(request.find("d-1"), 3, "d-2");
    CHECK(client.ask(request).status == 200);
  }
}

TEST_CASE("data: an update replaces bytes, keeps id and creation", "[market][data][mt]") {
  Server server;
  const std::string id = server.create("a", "t", "old");
  server.loop.clock.advance(std::chrono::seconds(5));
  const std::string by = GENERATE("id", "name");
  const std::string disposition = by == "id" ? "id=\"" + id + "\"" : "name=a; data-type=t";
  const RawAnswer answer = server.put_form("PUT", Server::form_part(disposition, "newer"));
  REQUIRE(answer.status == 200);
  const Json item = Json::parse(answer.body)["data"][0];
  CHECK(item["id"] == id);
  CHECK(item["size"] == 5);
  CHECK(item["created_at"] == "2026-11-20T10:00:00.000Z");
  CHECK(item["updated_at"] == "2026-11-20T10:00:05.000Z");
  CHECK(server.ask("GET", "/data/" + id + "?raw=true").body == "newer");
  CHECK(server.files() == 1);  // the old bytes are gone
  CHECK(server.put_form("PUT", Server::form_part("id=none", "x")).status == 404);
  CHECK(server.files() == 1);
}

TEST_CASE("data: an update of several records is one step", "[market][data][mt]") {
  Server server;
  const std::string a = server.create("a", "t", "1");
  const std::string b = server.create("b", "t", "2");
  CHECK(server
            .put_form("PUT",
                      Server::form_part("id=" + a, "3") + Server::form_part("id=" + a + "x", "4"))
            .status == 404);
  CHECK(server.ask("GET", "/data/" + a + "?raw=true").body == "1");
  CHECK(
      server.put_form("PUT", Server::form_part("id=" + a + "; name=b; data-type=t", "3")).status ==
      409);
  CHECK(
      server.put_form("PUT", Server::form_part("id=" + a, "5") + Server::form_part("id=" + b, "6"))
          .status == 200);
  CHECK(server.ask("GET", "/data/" + b + "?raw=true").body == "6");
  CHECK(server.files() == 2);
}

TEST_CASE("data: deleting", "[market][data][mt]") {
  Server server;
  const std::string id = server.create("a", "t", "1");
  CHECK(server.ask("DELETE", "/data/" + id).status == 204);
  CHECK(server.ask("DELETE", "/data/" + id).status == 404);
  CHECK(server.ask("GET", "/data/" + id + "?raw=true").status == 404);
  CHECK(server.files() == 0);
  server.create("a", "t", "2");
}

TEST_CASE("data: forms that are wrong are refused whole", "[market][data][mt]") {
  Server server;
  struct Case {
    std::string name;
    std::string body;
    int status;
  };
  const std::string good = Server::form_part("name=good; data-type=t", "x");
  const std::string end(Server::kFormEnd);
  const auto c = GENERATE_COPY(values<Case>({
      {"no end", good, 400},
      {"no part", end, 400},
      {"nothing", "", 400},
      {"a slash", good + Server::form_part("name=\"a/b\"; data-type=t", "x") + end, 400},
      {"no name", good + Server::form_part("data-type=t", "x") + end, 400},
      {"no type", good + Server::form_part("name=n", "x") + end, 400},
      {"a long name",
       Server::form_part("data-type=t; name=" + std::string(129, 'n'), "x") + end,
       400},
      {"a control character", Server::form_part("data-type=t; name=\"a\x01\"", "x") + end, 400},
      {"no UTF-8", Server::form_part("data-type=t; name=\"a\xff\"", "x") + end, 400},
      {"an id", Server::form_part("data-type=t; name=n; id=7", "x") + end, 400},
  }));
  CAPTURE(c.name);
  CHECK(server.ask("POST", "/data", c.body, Server::kFormType).status == c.status);
  CHECK(server.files() == 0);
  CHECK(server.ask("POST", "/data", good + end, "Content-Type: application/json\r\n").status ==
        400);
  server.create("good", "t", "x");  // 128 bytes are allowed
  server.create(std::string(128, 'n'), std::string(128, 't'), "x");
}

TEST_CASE("data: a request past the limit is a 413", "[market][data][mt]") {
  Server server;
  auto client = server.connect();
  client.send("POST /api/v1/domains/d-1/data HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer " +
              server.task_token() + "\r\n" + std::string(Server::kFormType) +
              "Content-Length: 104857601\r\n\r\n");
  const RawAnswer answer = client.answer();
  CHECK(answer.status == 413);
  CHECK(error_code(answer) == "body_too_large");
}

TEST_CASE("data: a client that leaves in its request leaves nothing behind", "[market][data][mt]") {
  Server server;
  const std::string body = Server::form_part("name=a; data-type=t", "whole") +
                           Server::form_part("name=b; data-type=t", std::string(700'000, 'x'));
  {
    auto client = server.connect();
    std::string request = server.request("POST", "/data", body, Server::kFormType);
    request.resize(request.size() - 1000);
    client.send(request);
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (server.files() < 2 && std::chrono::steady_clock::now() < end) server.loop.poll();
    CHECK(server.files() == 2);  // one whole, one half
  }
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (server.files() > 0 && std::chrono::steady_clock::now() < end) server.loop.poll();
  CHECK(server.files() == 0);
  CHECK(Json::parse(server.ask("GET", "/data").body)["data"].empty());
}

TEST_CASE("data: bytes that a crash left without a record are found, those with one stay",
          "[market][data][mt]") {
  Server server;
  const std::string id = server.create("a", "t", "kept");
  const std::filesystem::path stray = server.folder() / "blobs" / "ab" / "ab-stray";
  REQUIRE(make_folders(stray.parent_path()).ok());
  REQUIRE(write_file(stray, "lost").ok());
  REQUIRE(write_file(server.folder() / "blobs" / "uploads" / "cd-stray", "lost").ok());
  // The files' times are the machine's, so the clock is set relative to those.
  server.loop.clock.step_system(std::chrono::system_clock::now() - server.loop.clock.system_now() +
                                std::chrono::minutes(30));
  server.loop.run(server.service().remove_unknown_blobs());
  CHECK(server.files() == 3);  // too young to tell
  server.loop.clock.step_system(std::chrono::hours(1));
  server.loop.run(server.service().remove_unknown_blobs());
  CHECK(server.files() == 1);
}

TEST_CASE("data: bytes that get their record while the clean-up looks stay", "[market][data][mt]") {
  Server server;
  server.disk.strays = 5'000;  // else the look is over before the rest has come
  // The files' times are the machine's: what comes in is settled at once.
  server.loop.clock.step_system(std::chrono::system_clock::now() - server.loop.clock.system_now() +
                                std::chrono::hours(2));
  auto client = server.connect();
  const std::string request =
      server.request("POST",
                     "/data",
                     Server::form_part("name=a; data-type=t", "whole") +
                         Server::form_part("name=b; data-type=t", std::string(700'000, 'x')) +
                         std::string(Server::kFormEnd),
                     Server::kFormType);
  client.send(std::string_view(request).substr(0, request.size() - 1000));
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (server.files() < 2 && std::chrono::steady_clock::now() < end) server.loop.poll();
  REQUIRE(server.files() == 2);  // one whole, one half

  const testing::Started cleaning(server.loop, server.service().remove_unknown_blobs());
  REQUIRE(server.loop.run_until([&] { return server.disk.listed; }));
  client.send(std::string_view(request).substr(request.size() - 1000));
  const RawAnswer answer = client.answer();
  REQUIRE(answer.status == 200);
  REQUIRE(server.loop.run_until([&] { return cleaning.done(); }));
  const std::string id = Json::parse(answer.body)["data"][0]["id"];
  CHECK(server.ask("GET", "/data/" + id + "?raw=true").body == "whole");
}

TEST_CASE("data: what was half written when the process died goes at the next start",
          "[market][data]") {
  Server server;
  REQUIRE(write_file(server.folder() / "blobs" / "tmp" / "half", "x").ok());
  ThreadPool pool("test", 1);
  REQUIRE(FileBlobs::open(server.folder() / "blobs", pool, server.rng).ok());
  CHECK(server.files() == 0);
}

TEST_CASE("data: a disk that is full is a 507 and leaves nothing", "[market][data][mt]") {
  Server server;
  server.disk.left = 300'000;
  const RawAnswer answer =
      server.put_form("POST",
                      Server::form_part("name=a; data-type=t", std::string(200'000, 'x')) +
                          Server::form_part("name=b; data-type=t", std::string(200'000, 'x')));
  CHECK(answer.status == 507);
  CHECK(error_code(answer) == "disk_full");
  CHECK(answer.body.find("posenode-") == std::string::npos);  // no path of the host
  CHECK(server.files() == 0);
  CHECK(Json::parse(server.ask("GET", "/data").body)["data"].empty());

  server.disk.left = 1'000'000;
  const std::string begun =
      server.ask("POST", "/data/multipart?uploads", R"({"name":"n","data_type":"t"})").body;
  const std::string part =
      "/data/multipart?partNumber=1&uploadId=" + Json::parse(begun)["upload_id"].get<std::string>();
  CHECK(server.ask("PUT", part, std::string(2'000'000, 'x')).status == 507);
  server.disk.left = 3'000'000;
  CHECK(server.ask("PUT", part, std::string(2'000'000, 'x')).status == 200);
}

TEST_CASE("data: nothing is put into a domain that is gone", "[market][data][mt]") {
  Server server;
  const std::function<Result<void>(soci::session&)> gone =
      [](soci::session& session) -> Result<void> {
    execute(session, "DELETE FROM domains WHERE id = 'd-1'");
    return {};
  };
  REQUIRE(server.database().write_now<void>(gone).ok());
  const RawAnswer answer = server.put_form("POST", Server::form_part("name=a; data-type=t", "x"));
  CHECK(answer.status == 404);
  CHECK(error_code(answer) == "domain_missing");
  CHECK(server.files() == 0);
}

TEST_CASE("data: a store that cannot be written is the market's fault", "[market][data][mt]") {
  Server server;
  const std::filesystem::path temporary = server.folder() / "blobs" / "tmp";
  std::filesystem::remove(temporary);
  const std::string part = Server::form_part("name=a; data-type=t", "x");
  const RawAnswer answer = server.put_form("POST", part);
  CHECK(answer.status == 500);
  CHECK(answer.body.find("blobs") == std::string::npos);
  std::filesystem::create_directory(temporary);
  CHECK(server.put_form("POST", part).status == 200);
}

TEST_CASE("data: the record is on the disk before the bytes it replaces are gone",
          "[market][data][mt]") {
  Server server;
  const auto durable = [&] { return server.database().durable_commits(); };
  const std::string id = server.create("a", "t", "one");
  CHECK(durable() == 0);  // nothing goes
  CHECK(server.put_form("PUT", Server::form_part("id=" + id, "two")).status == 200);
  CHECK(durable() == 1);
  const std::string begun =
      server
          .ask("POST",
               "/data/multipart?uploads",
               Json{{"name", "a"}, {"data_type", "t"}, {"existing_id", id}}.dump())
          .body;
  const std::string upload =
      "/data/multipart?uploadId=" + Json::parse(begun)["upload_id"].get<std::string>();
  const Json etag = Json::parse(server.ask("PUT", upload + "&partNumber=1", "three").body)["etag"];
  const Json list{{"parts", Json::array({{{"part_number", 1}, {"etag", etag}}})}};
  CHECK(durable() == 1);
  CHECK(server.ask("POST", upload, list.dump()).status == 200);
  CHECK(durable() == 2);
  CHECK(server.ask("DELETE", "/data/" + id).status == 204);
  CHECK(durable() == 3);
}

}  // namespace pn::market
