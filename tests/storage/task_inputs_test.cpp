#include "storage/task_inputs.hpp"

#include "base/awaitable.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "http/multipart.hpp"
#include "http/server.hpp"
#include "storage/domain_calls.hpp"
#include "storage/domain_json.hpp"
#include "storage/listing.hpp"
#include "storage/ports.hpp"
#include "tests/http/scripted_server.hpp"
#include "tests/storage/domain_fixture.hpp"
#include "tests/storage/domain_world.hpp"
#include "tests/storage/fake_domain_server.hpp"
#include "tests/support/temp_folder.hpp"
#include "tests/support/test_loop.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

namespace pn::storage {
namespace {

using testing::DomainFixture;
using testing::DomainWorld;
using testing::ScriptedConnection;
using testing::ScriptedServer;
using testing::TempFolder;
using testing::TestLoop;

struct Fixture : DomainFixture {
  using DomainFixture::DomainFixture;

  TaskInputs inputs{world.client, folder.path / "inputs"};

  Result<std::vector<Input>> all(const std::vector<Cid>& cids) {
    return loop.run(inputs.fetch_all(cids));
  }
};

bool wants_json(const std::string& head) {
  return head.find("Accept: application/json") != std::string::npos;
}

/// A whole answer with one part.
std::string one_part(const std::string& bytes) {
  const std::string body =
      http::part_head("B", "x/y", {{"name", "n"}, {"size", std::to_string(bytes.size())}}) + bytes +
      "\r\n" + http::closing_delimiter("B");
  return testing::http_answer(200, body, "Content-Type: multipart/form-data; boundary=B\r\n");
}

}  // namespace

TEST_CASE("task inputs: each CID has its folder, a second fetch asks nobody", "[storage][ports]") {
  Fixture f;
  const std::string a = f.server.add("scan", "zip", "aaa");
  const std::string b = f.server.add("scan2", "csv", "bb");
  const auto first = f.loop.run(f.inputs.fetch(Cid(a)));
  REQUIRE(first.ok());
  CHECK(first->cid == Cid(a));
  REQUIRE(first->files.size() == 1);
  CHECK(first->files[0].path == f.folder.path / "inputs/input-1/datasets/scan/scan.zip");
  const auto second = f.loop.run(f.inputs.fetch(Cid("/api/v1/domains/d1/data/" + b)));
  REQUIRE(second.ok());
  CHECK(second->files[0].path == f.folder.path / "inputs/input-2/datasets/scan2/scan2.csv");
  const auto again = f.loop.run(f.inputs.fetch(Cid(a)));
  REQUIRE(again.ok());
  CHECK(again->files[0].path == first->files[0].path);
  CHECK(f.server.seen.size() == 4);  // a list and the bytes, each
}

TEST_CASE("task inputs: a CID of another server is refused without a request", "[storage][ports]") {
  Fixture f;
  const auto input =
      f.loop.run(f.inputs.fetch(Cid("https://evil.example.org/api/v1/domains/d1/data/x")));
  REQUIRE_FALSE(input.ok());
  CHECK(input.error().code == "cid_elsewhere");
  CHECK(f.server.seen.empty());
  const auto missing = f.loop.run(f.inputs.fetch(Cid("nothing of that name")));
  REQUIRE_FALSE(missing.ok());
  CHECK(missing.error().kind == ErrorKind::not_found);
  CHECK_THAT(missing.error().detail, Catch::Contains("nothing of that name"));
}

TEST_CASE("task inputs: several come also from a server whose lists cannot be read",
          "[storage][ports]") {
  Fixture f;
  const std::string a = f.server.add("scan", "zip", "aaa");
  const std::string b = f.server.add("scan2", "csv", "bb");
  f.server.fault = [](const http::ServerRequest& r) -> std::optional<http::ServerResponse> {
    if (r.headers.find("accept") != "application/json") return std::nullopt;
    return http::ServerResponse::text(200, "<html>");
  };
  const auto got = f.all({Cid(a), Cid(b)});
  REQUIRE(got.ok());
  REQUIRE(got->size() == 2);
  CHECK(TempFolder::read((*got)[1].files[0].path) == "bb");
}

TEST_CASE("task inputs: a list in several requests may lack all of one", "[storage][ports]") {
  Fixture f;
  const std::string there = f.server.add("scan", "zip", "aaa");
  f.server.fault = [&](const http::ServerRequest& r) -> std::optional<http::ServerResponse> {
    const std::string ids = r.query_value("ids").value_or("");
    if (ids.find(there) != std::string::npos) return std::nullopt;
    return http::error_response(404, "not_found", "nothing of that");
  };
  DataQuery query;
  query.ids.emplace_back(there);
  for (int i = 0; i < 600; ++i) query.ids.emplace_back("none-" + std::to_string(10'000 + i));
  const auto listed = f.world.run(f.world.client->list(query));
  REQUIRE(listed.ok());
  REQUIRE(listed->size() == 1);
  CHECK(listed->front().id == DataId(there));
  CHECK(f.server.seen.size() > 1);
}

TEST_CASE("task inputs: many small ones share requests, in the order asked", "[storage][ports]") {
  Fixture f;
  std::vector<Cid> cids;
  for (int i = 0; i < 250; ++i) {
    cids.emplace_back(f.server.add("n" + std::to_string(i), "t", "bytes " + std::to_string(i)));
  }
  std::reverse(cids.begin(), cids.end());
  const std::string large = f.server.add("large", "t", std::string(2'000'000, 'x'));
  cids.insert(cids.begin() + 7, Cid(large));
  cids.emplace_back("n3");  // by name
  const auto got = f.all(cids);
  REQUIRE(got.ok());
  REQUIRE(got->size() == cids.size());
  std::set<std::string> folders;
  for (std::size_t i = 0; i < cids.size(); ++i) {
    const Input& input = (*got)[i];
    CHECK(input.cid == cids[i]);
    REQUIRE(input.files.size() == 1);
    const InputFile& file = input.files.front();
    CHECK((TempFolder::read(file.path) == f.server.items.at(file.id.str()).bytes));
    if (i + 1 < cids.size()) CHECK(file.id.str() == cids[i].str());
    folders.insert(file.path.parent_path().parent_path().string());
  }
  CHECK(folders.size() == cids.size());
  CHECK(f.server.seen.size() == 2 + 2 + 1 + 2);  // lists, groups, the large one, the one by name
  const auto again = f.all(cids);
  REQUIRE(again.ok());
  CHECK(f.server.seen.size() == 7);
}

TEST_CASE("task inputs: as many at once as allowed", "[storage][ports]") {
  TestLoop loop;
  int now = 0;
  int most = 0;
  ScriptedServer server(loop, [&](ScriptedConnection& c, int) -> Awaitable<void> {
    const std::string head = co_await c.read_head();
    if (wants_json(head)) {
      co_await c.write(testing::http_answer(404, "{}"));
      co_return;
    }
    most = std::max(most, ++now);
    co_await c.pause(std::chrono::milliseconds(20));
    --now;
    const std::string answer = one_part("bytes");
    co_await c.write(answer);
  });
  DomainClientOptions options = DomainWorld::quick();
  options.download_parallel = 3;
  DomainWorld world(loop, server.url("/"), {"t1"}, options);
  const TempFolder folder;
  TaskInputs inputs(world.client, folder.path);
  std::vector<Cid> cids;
  for (int i = 0; i < 10; ++i) cids.emplace_back("name " + std::to_string(i));
  CHECK(loop.run(inputs.fetch_all(cids)).ok());
  CHECK(most == 3);
}

TEST_CASE("task inputs: the first failure ends the others, and so does cancellation",
          "[storage][ports][mt]") {
  TestLoop loop;
  int hung = 0;
  int closed = 0;
  bool refuse = false;
  ScriptedServer server(loop, [&](ScriptedConnection& c, int) -> Awaitable<void> {
    const std::string head = co_await c.read_head();
    if (wants_json(head)) {
      co_await c.write(testing::http_answer(404, "{}"));
      co_return;
    }
    if (head.find("name=bad") != std::string::npos) {
      while (hung < 2) co_await c.pause(std::chrono::milliseconds(1));
      if (!refuse) co_await c.until_closed();
      co_await c.write(testing::http_answer(403, "{}"));
      co_return;
    }
    const std::string answer = one_part(std::string(10'000, 'x'));
    co_await c.write(answer.substr(0, 5000));
    ++hung;
    co_await c.until_closed();
    ++closed;
  });
  DomainWorld world(loop, server.url("/"));
  const TempFolder folder;
  TaskInputs inputs(world.client, folder.path);
  const std::vector<Cid> cids{Cid("a"), Cid("b"), Cid("bad")};
  SECTION("a failure") {
    refuse = true;
    const auto got = loop.run(inputs.fetch_all(cids));
    REQUIRE_FALSE(got.ok());
    CHECK(got.error().code == "http_403");
    CHECK_THAT(got.error().detail, Catch::StartsWith("input bad"));
  }
  SECTION("cancellation") {
    const auto body = [&]() -> Awaitable<void> {
      const auto got = co_await inputs.fetch_all(cids);
    };
    testing::Started started(loop, body());
    REQUIRE(loop.run_until([&] { return hung == 2; }));
    started.cancel();
    REQUIRE(loop.run_until([&] { return started.done(); }));
    CHECK(started.failed());
  }
  CHECK(loop.run_until([&] { return closed == 2; }));
  CHECK(folder.listing().empty());
}

TEST_CASE("task inputs: who asks for the same input at once shares its download",
          "[storage][ports]") {
  Fixture f;
  const std::string a = f.server.add("a", "t", "bytes");
  std::vector<std::string> paths;
  const auto ask = [&]() -> Awaitable<void> {
    const auto input = co_await f.inputs.fetch(Cid(a));
    if (input.ok()) paths.push_back(input->files.front().path.string());
  };
  testing::Started first(f.loop, ask());
  testing::Started second(f.loop, ask());
  SECTION("both wait for one") {
    REQUIRE(f.loop.run_until([&] { return first.done() && second.done(); }));
    REQUIRE(paths.size() == 2);
    CHECK(paths[0] == paths[1]);
    CHECK(f.server.seen.size() == 2);
  }
  SECTION("one that is cancelled leaves it to the other") {
    first.cancel();
    REQUIRE(f.loop.run_until([&] { return first.done() && second.done(); }));
    CHECK(first.failed());
    REQUIRE(paths.size() == 1);
    CHECK(TempFolder::read(paths[0]) == "bytes");
  }
}

TEST_CASE("task inputs: one that does not fit the task's limit is not fetched",
          "[storage][ports]") {
  DomainClientOptions options = DomainWorld::quick();
  options.max_input_bytes = 3'000'000;
  Fixture f(options);
  const Cid a(f.server.add("a", "t", std::string(2'000'000, 'a')));
  const Cid b(f.server.add("b", "t", std::string(2'000'000, 'b')));
  const Cid c(f.server.add("c", "t", std::string(900'000, 'c')));
  REQUIRE(f.loop.run(f.inputs.fetch(a)).ok());
  const std::uint64_t before = f.server.payload;
  const auto refused = f.loop.run(f.inputs.fetch(b));
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().kind == ErrorKind::full);
  CHECK(refused.error().code == "task_disk_full");
  CHECK(f.server.payload == before);
  CHECK(f.loop.run(f.inputs.fetch(c)).ok());  // this one does
  SECTION("nor where no list tells its size") {
    f.server.fault = [](const http::ServerRequest& r) -> std::optional<http::ServerResponse> {
      if (r.headers.find("accept") != "application/json") return std::nullopt;
      return http::error_response(404, "not_found", "old");
    };
    CHECK(f.loop.run(f.inputs.fetch(b)).error().code == "task_disk_full");
  }
}

TEST_CASE("task inputs: one that is gone is named among many", "[storage][ports]") {
  Fixture f;
  const Cid a(f.server.add("a", "t", "a"));
  const Cid gone("00000000-0000-4000-8000-00000000dead");
  const Cid b(f.server.add("b", "t", "b"));
  const auto got = f.all({a, gone, b});
  REQUIRE_FALSE(got.ok());
  CHECK(got.error().kind == ErrorKind::not_found);
  CHECK_THAT(got.error().detail, Catch::Contains(gone.str()));
}

TEST_CASE("task inputs: what a list claims in all does not wrap", "[storage][ports]") {
  Listing listing;
  for (const char* id : {"a", "b", "c"}) {
    DataItem item;
    item.id = DataId(id);
    item.size = (std::uint64_t{1} << 63U) + 1;
    listing.add({.item = item, .path = id});
  }
  CHECK(listing.bytes() == std::numeric_limits<std::uint64_t>::max());
}

TEST_CASE("task inputs: related parts keep their input out of groups", "[storage][ports]") {
  Fixture f;
  f.server.related.push_back({"more", "csv", "related", 1});
  const Cid a(f.server.add("a", "t", "a"));
  const Cid b(f.server.add("b", "t", "b"));
  const auto got = f.all({a, b});
  REQUIRE(got.ok());
  for (const Input& input : *got) {
    REQUIRE(input.files.size() == 2);
    CHECK(input.files.front().id.str() == input.cid.str());
    CHECK(TempFolder::read(input.files.back().path) == "related");
  }
}

}  // namespace pn::storage
