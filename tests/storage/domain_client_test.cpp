#include "base/awaitable.hpp"
#include "base/digest.hpp"
#include "base/encoding.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "base/retry.hpp"
#include "http/server.hpp"
#include "storage/cid.hpp"
#include "storage/domain_calls.hpp"
#include "storage/ports.hpp"
#include "tests/http/scripted_server.hpp"
#include "tests/storage/domain_fixture.hpp"
#include "tests/storage/domain_world.hpp"
#include "tests/storage/fake_domain_server.hpp"
#include "tests/support/fake_rng.hpp"
#include "tests/support/temp_folder.hpp"
#include "tests/support/test_loop.hpp"

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

namespace pn::storage {
namespace {

using testing::by_id;
using testing::DomainWorld;
using testing::FakeDomainServer;
using testing::ScriptedConnection;
using testing::ScriptedServer;
using testing::TempFolder;
using testing::TestLoop;

http::ServerResponse unavailable() { return http::error_response(503, "busy", "later"); }

}  // namespace

TEST_CASE("domain client: lists, describes, removes", "[storage][client]") {
  TestLoop loop;
  FakeDomainServer server(loop);
  const std::string a = server.add("a", "ply", "12345");
  server.add("b", "csv", "x");
  DomainWorld world(loop, server.url());

  const auto all = world.run(world.client->list({}));
  REQUIRE(all.ok());
  CHECK(all->size() == 2);
  DataQuery named;
  named.name = "a";
  named.data_type = "ply";
  const auto one = world.run(world.client->list(named));
  REQUIRE(one.ok());
  REQUIRE(one->size() == 1);
  CHECK(one->front().id == DataId(a));
  CHECK(one->front().size == 5);

  const auto described = world.run(world.client->describe(DataId(a)));
  REQUIRE(described.ok());
  CHECK(described->name == "a");
  CHECK(world.run(world.client->remove(DataId(a))).ok());
  const auto gone = world.run(world.client->describe(DataId(a)));
  REQUIRE_FALSE(gone.ok());
  CHECK(gone.error().kind == ErrorKind::not_found);
  CHECK(world.run(world.client->remove(DataId(a))).error().kind == ErrorKind::not_found);
}

TEST_CASE("domain client: downloads every part to its place", "[storage][client][mt]") {
  TestLoop loop;
  FakeDomainServer server(loop);
  std::string big(700'000, '\0');
  for (std::size_t i = 0; i < big.size(); ++i) big[i] = static_cast<char>(i * 7 / 3);
  server.add("scan_2024-05-06_07-08-09", "zip", "--B\r\n" + big + "\r\n--B--\r\n");
  server.add("empty", "csv", "");
  DomainWorld world(loop, server.url());
  const TempFolder folder;

  const auto files = world.run(world.client->download({}, folder.path / "in" / "1"));
  REQUIRE(files.ok());
  REQUIRE(files->size() == 2);
  const InputFile& first = files->front();
  CHECK(first.name == "scan_2024-05-06_07-08-09");
  CHECK(first.data_type == "zip");
  CHECK_FALSE(first.id.empty());
  CHECK(first.size == big.size() + 14);
  CHECK(first.path ==
        folder.path / "in/1/datasets/2024-05-06_07-08-09" / "scan_2024-05-06_07-08-09.zip");
  CHECK(TempFolder::read(first.path) == "--B\r\n" + big + "\r\n--B--\r\n");
  CHECK(TempFolder::read(files->back().path).empty());
  CHECK(folder.listing().size() == 7);  // in, 1, datasets, two scans, two files
}

TEST_CASE("domain client: a download that cannot be had leaves nothing", "[storage][client]") {
  TestLoop loop;
  FakeDomainServer server(loop);
  DomainWorld world(loop, server.url());
  const TempFolder folder;
  SECTION("no such item") {
    const auto files = world.run(world.client->download(by_id("x"), folder.path / "1"));
    REQUIRE_FALSE(files.ok());
    CHECK(files.error().kind == ErrorKind::not_found);
  }
  SECTION("denied") {
    server.fault = [](const http::ServerRequest&) {
      return http::error_response(403, "forbidden", "not yours");
    };
    const auto files = world.run(world.client->download(by_id("x"), folder.path / "1"));
    REQUIRE_FALSE(files.ok());
    CHECK(files.error().kind == ErrorKind::rejected);
    CHECK_THAT(files.error().detail, Catch::Contains("not yours"));
    CHECK(server.seen.size() == 1);
  }
  SECTION("not multipart") {
    server.fault = [](const http::ServerRequest&) { return http::ServerResponse::json(200, "{}"); };
    const auto files = world.run(world.client->download(by_id("x"), folder.path / "1"));
    REQUIRE_FALSE(files.ok());
    CHECK(files.error().kind == ErrorKind::retry);  // the page of some proxy
    CHECK(files.error().code == "multipart_type");
    CHECK(server.seen.size() > 2);
  }
  CHECK(folder.listing().empty());
}

TEST_CASE("domain client: a download that breaks is removed and tried again", "[storage][client]") {
  TestLoop loop;
  const std::string head = "HTTP/1.1 200 OK\r\nContent-Type: multipart/form-data; boundary=B\r\n";
  const std::string part =
      "--B\r\nContent-Disposition: form-data; name=\"n\"; data-type=\"t\"; id=\"i\"; "
      "size=\"5\"\r\n\r\n";
  const std::string body = part + "hello\r\n--B--\r\n";
  const std::string whole =
      head + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  const TempFolder folder;
  int calls = 0;
  bool recovers = true;
  std::string broken;
  ScriptedServer server(loop, [&](ScriptedConnection& c, int) -> Awaitable<void> {
    const std::string request = co_await c.read_head();
    if (request.find("Accept: application/json") != std::string::npos) {
      co_await c.write(testing::http_answer(404, "{}"));  // an old one: no list
      co_return;
    }
    ++calls;
    const std::string answer = calls > 1 && recovers ? whole : broken;
    co_await c.write(answer);
  });
  DomainWorld world(loop, server.url("/"));
  SECTION("the connection is lost in the middle") {
    broken = whole.substr(0, whole.size() - 10);
    const auto files = world.run(world.client->download(by_id("i"), folder.path / "1"));
    REQUIRE(files.ok());
    CHECK(calls == 2);
    CHECK(TempFolder::read(files->front().path) == "hello");
  }
  SECTION("it never gets better") {
    recovers = false;
    broken = whole.substr(0, whole.size() - 10);
    const auto files = world.run(world.client->download(by_id("i"), folder.path / "1"));
    REQUIRE_FALSE(files.ok());
    CHECK(files.error().kind == ErrorKind::retry);
    CHECK(files.error().code == "curl_partial");
    CHECK(calls == 4);
    CHECK(folder.listing().empty());
  }
  SECTION("a whole body that contradicts itself may have been damaged on its way") {
    const std::string text = GENERATE_COPY(
        as<std::string>(),
        part + "hell\r\n--B--\r\n",    // shorter than said
        part + "hello!\r\n--B--\r\n",  // longer
        "--B\r\nContent-Disposition: form-data; name=\"n\"\r\n\r\nhello\r\n--B--\r\n");
    recovers = GENERATE(true, false);
    broken = head + "Content-Length: " + std::to_string(text.size()) + "\r\n\r\n" + text;
    const auto files = world.run(world.client->download(by_id("i"), folder.path / "1"));
    INFO(text);
    CHECK(calls == (recovers ? 2 : 4));
    CHECK(files.ok() == recovers);
    if (!recovers) {
      CHECK(files.error().kind == ErrorKind::retry);
      CHECK(folder.listing().empty());
    }
  }
  SECTION("a body without its end may have been cut on its way: it is") {
    const std::string text =
        GENERATE_COPY(as<std::string>(), part + "hello\r\n", part + "hello\r\n" + part + "he");
    recovers = GENERATE(true, false);
    broken = head + "Content-Length: " + std::to_string(text.size()) + "\r\n\r\n" + text;
    const auto files = world.run(world.client->download(by_id("i"), folder.path / "1"));
    CHECK(calls == (recovers ? 2 : 4));
    CHECK(files.ok() == recovers);
    if (!recovers) {
      CHECK(files.error().kind == ErrorKind::retry);
      CHECK(folder.listing().empty());
    }
  }
}

TEST_CASE("domain client: a cancelled download leaves nothing", "[storage][client][mt]") {
  TestLoop loop;
  const TempFolder folder;
  bool written = false;
  ScriptedServer server(loop, [&](ScriptedConnection& c, int) -> Awaitable<void> {
    const std::string request = co_await c.read_head();
    if (request.find("Accept: application/json") != std::string::npos) {
      co_await c.write(testing::http_answer(404, "{}"));
      co_return;
    }
    co_await c.write(
        "HTTP/1.1 200 OK\r\nContent-Type: multipart/form-data; boundary=B\r\n"
        "Content-Length: 100000\r\n\r\n"
        "--B\r\nContent-Disposition: form-data; name=\"n\"; data-type=\"t\"; "
        "size=\"9999\"\r\n\r\nabc");
    co_await c.until_closed();
    written = true;
  });
  DomainWorld world(loop, server.url("/"));
  const auto body = [&]() -> Awaitable<void> {
    DataQuery query = by_id("i");
    const auto files = co_await world.client->download(query, folder.path / "1");
  };
  testing::Started started(loop, body());
  REQUIRE(loop.run_until([&] { return folder.listing().size() >= 2; }));
  started.cancel();
  REQUIRE(loop.run_until([&] { return started.done() && written; }));
  CHECK(started.failed());
  CHECK(folder.listing().empty());
}

TEST_CASE("domain client: raw bytes replace a file when they are whole", "[storage][client]") {
  TestLoop loop;
  FakeDomainServer server(loop);
  const std::string id = server.add("a", "ply", "new bytes");
  DomainWorld world(loop, server.url());
  const TempFolder folder;
  const std::filesystem::path path = folder.write("out/a.ply", "old");

  SECTION("whole") {
    const auto size = world.run(world.client->download_raw(DataId(id), path));
    REQUIRE(size.ok());
    CHECK(*size == 9);
    CHECK(TempFolder::read(path) == "new bytes");
  }
  SECTION("empty") {
    const std::string empty = server.add("e", "ply", "");
    CHECK(*world.run(world.client->download_raw(DataId(empty), path)) == 0);
    CHECK(TempFolder::read(path).empty());
  }
  SECTION("missing") {
    const auto size = world.run(world.client->download_raw(DataId("x"), path));
    REQUIRE_FALSE(size.ok());
    CHECK(size.error().kind == ErrorKind::not_found);
    CHECK(TempFolder::read(path) == "old");
  }
  SECTION("with the digest it promised, and without") {
    int calls = 0;
    const Sha256Digest right = sha256("new bytes");
    server.fault = [&](const http::ServerRequest&) {
      const std::string digest =
          ++calls == 2 ? std::string(right.begin(), right.end()) : std::string(32, 'x');
      http::ServerResponse answer = http::ServerResponse::text(200, "new bytes");
      answer.headers.set("Content-Digest", "sha-256=:" + to_base64(digest) + ":");
      return answer;
    };
    CHECK(world.run(world.client->download_raw(DataId(id), path)).ok());
    CHECK(calls == 2);
    CHECK(TempFolder::read(path) == "new bytes");
    const auto wrong = world.run(world.client->download_raw(DataId(id), folder.path / "b"));
    REQUIRE_FALSE(wrong.ok());
    CHECK(wrong.error().code == "digest_mismatch");
  }
  CHECK(folder.listing() == std::vector<std::string>{"out", "out/a.ply"});
}

TEST_CASE("domain client: a raw download removes what a killed one left a day ago",
          "[storage][client]") {
  TestLoop loop;
  FakeDomainServer server(loop);
  const std::string id = server.add("a", "ply", "bytes");
  DomainWorld world(loop, server.url());
  const TempFolder folder;
  folder.write("out/a.ply.0123abcd.part", "one that may be under way");
  for (const char* old : {"out/a.ply.89abcdef.part",
                          "out/a.ply.notofhex.part",
                          "out/a.ply.part",
                          "out/b.ply.89abcdef.part"}) {
    const std::filesystem::path path = folder.write(old, "half");
    const auto now = std::filesystem::file_time_type::clock::now();
    std::filesystem::last_write_time(path, now - std::chrono::hours(25));
  }
  REQUIRE(world.run(world.client->download_raw(DataId(id), folder.path / "out/a.ply")).ok());
  CHECK(folder.listing() == std::vector<std::string>{"out",
                                                     "out/a.ply",
                                                     "out/a.ply.0123abcd.part",
                                                     "out/a.ply.notofhex.part",
                                                     "out/a.ply.part",
                                                     "out/b.ply.89abcdef.part"});
}

TEST_CASE("domain client: a 401 takes the newer token, once", "[storage][client]") {
  TestLoop loop;
  FakeDomainServer server(loop);
  server.add("a", "ply", "bytes");
  SECTION("there is one") {
    DomainWorld world(loop, server.url(), {"t0", "t1"});
    CHECK(world.run(world.client->list({})).ok());
    CHECK(server.seen.size() == 2);
    CHECK(world.run(world.client->list({})).ok());
    CHECK(server.seen.size() == 3);  // kept: no second 401
  }
  SECTION("in the middle of an upload its body is sent again") {
    DomainWorld world(loop, server.url(), {"t1", "t2"});
    server.served = [&](const http::ServerRequest& request) {
      if (request.path == "/api/v1/info") server.token = "t2";
    };
    const auto item = world.upload("n", "ply", "content");
    REQUIRE(item.ok());
    CHECK(server.items.at(item->id.str()).bytes == "content");
    CHECK(server.count("POST /data") == 2);
  }
  SECTION("for a download") {
    DomainWorld world(loop, server.url(), {"t0", "t1"});
    const TempFolder folder;
    CHECK(world.run(world.client->download({}, folder.path / "1")).ok());
  }
  SECTION("there is none") {
    DomainWorld world(loop, server.url(), {"t0"});
    const auto list = world.run(world.client->list({}));
    REQUIRE_FALSE(list.ok());
    CHECK(list.error().kind == ErrorKind::unauthorized);
    CHECK(server.seen.size() == 1);
  }
  SECTION("the newer one is refused too") {
    DomainWorld world(loop, server.url(), {"t0", "t9", "t1"});
    CHECK(world.run(world.client->list({})).error().kind == ErrorKind::unauthorized);
    CHECK(server.seen.size() == 2);
  }
}

TEST_CASE("domain client: what passes is waited out, what does not is answered",
          "[storage][client]") {
  TestLoop loop;
  FakeDomainServer server(loop);
  DomainWorld world(loop, server.url());
  int failures = 2;
  server.fault = [&](const http::ServerRequest&) {
    return failures-- > 0 ? std::optional(unavailable()) : std::nullopt;
  };
  CHECK(world.run(world.client->list({})).ok());
  CHECK(server.seen.size() == 3);
  failures = 100;
  const auto list = world.run(world.client->list({}));
  REQUIRE_FALSE(list.ok());
  CHECK(list.error().code == "http_503");
  CHECK(server.seen.size() == 7);
}

TEST_CASE("domain client: retries end with their time", "[storage][client]") {
  TestLoop loop;
  testing::FakeRng rng;
  RetryPolicy policy;
  policy.first = Millis(1000);
  policy.jitter_low = policy.jitter_high = 1.0;
  Patience patience(loop.clock, rng, policy, std::chrono::seconds(10), std::chrono::seconds(0));
  int tries = 0;
  const auto body = [&]() -> Awaitable<void> {
    const Error error(ErrorKind::retry, "x", "x");
    for (;;) {
      const bool again = co_await patience.again(error);
      if (!again) break;
      ++tries;
    }
  };
  testing::Started started(loop, body());
  loop.advance(std::chrono::seconds(6));
  CHECK_FALSE(started.done());
  CHECK(tries == 2);  // after 1 and 3 seconds
  loop.advance(std::chrono::seconds(3));
  CHECK(started.done());
  CHECK(tries == 3);  // the fourth pause would end at 15 seconds
}

TEST_CASE("domain client: what the server asks for is waited out beside that, up to a limit",
          "[storage][client]") {
  TestLoop loop;
  testing::FakeRng rng;
  RetryPolicy policy;
  policy.first = Millis(1000);
  policy.jitter_low = policy.jitter_high = 1.0;
  Patience patience(loop.clock, rng, policy, std::chrono::seconds(120), std::chrono::minutes(10));
  Error error(ErrorKind::retry, "http_429", "later");
  const std::vector<int> asked{120, 300, 0, 181};  // seconds
  std::vector<bool> answers;
  const auto body = [&]() -> Awaitable<void> {
    for (const int after : asked) {
      error.after.reset();
      if (after > 0) error.after = std::chrono::seconds(after);
      const bool again = co_await patience.again(error);
      answers.push_back(again);
    }
  };
  testing::Started started(loop, body());
  loop.advance(std::chrono::seconds(119));
  CHECK(answers.empty());
  loop.advance(std::chrono::seconds(1));
  CHECK(answers == std::vector<bool>{true});
  loop.advance(std::chrono::seconds(304));  // 300, and 4 of our own: its time is not used up
  CHECK(answers == std::vector<bool>{true, true, true, false});  // 601 in all
  CHECK(started.done());
}

}  // namespace pn::storage
