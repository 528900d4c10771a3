#include "base/ids.hpp"
#include "base/result.hpp"
#include "base/rng.hpp"
#include "http/server.hpp"
#include "storage/cid.hpp"
#include "storage/domain_calls.hpp"
#include "storage/domain_client.hpp"
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
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

namespace pn::storage {
namespace {

using testing::by_id;
using testing::DomainFixture;
using testing::DomainWorld;
using testing::is_right;
using testing::ScriptedConnection;
using testing::ScriptedServer;
using testing::TempFolder;
using testing::TestLoop;

using Files = Result<std::vector<InputFile>>;

std::string bytes_of(std::size_t size, std::uint64_t seed = 1) {
  testing::FakeRng rng(seed);
  std::string out(size, '\0');
  for (char& c : out) c = static_cast<char>(uniform(rng, std::uint64_t{0}, std::uint64_t{255}));
  return out;
}

bool is_raw(const http::ServerRequest& request) { return request.has_query("raw"); }

struct World : DomainFixture {
  Files get(const std::string& id) { return download(by_id(id)); }
  Files download(DataQuery query) {
    return world.run(world.client->download(std::move(query), folder.path / "in"));
  }
  Result<std::uint64_t> get_raw(const std::string& id, const std::filesystem::path& path) {
    return world.run(world.client->download_raw(DataId(id), path));
  }
  /// The one file of `files` is the item as it is now.
  void check_right(const Files& files, const std::string& id) {
    REQUIRE(files.ok());
    REQUIRE(files->size() == 1);
    CHECK(files->front().id == DataId(id));
    CHECK(is_right(server, files->front()));
    CHECK(folder.listing().size() == 4);  // in, datasets, the scan, the file
  }
  void check_refused(const Files& files, const std::string& code) {
    REQUIRE_FALSE(files.ok());
    CHECK(files.error().kind == ErrorKind::retry);
    CHECK(files.error().code == code);
    CHECK(folder.listing().empty());
  }
};

}  // namespace

TEST_CASE("transfer_verify: a flipped bit never reaches a runner", "[storage][transfer_verify]") {
  World w;
  w.server.has_digests = true;
  const std::string id = w.server.add("a", "ply", bytes_of(5000));
  int left = 1;
  w.server.harm = [&](const http::ServerRequest&, http::ServerResponse&, std::string& body) {
    if (left-- > 0) body[body.size() / 2] ^= 1;
  };
  SECTION("in a part: it is fetched again") {
    w.check_right(w.get(id), id);
    CHECK(w.server.count("GET /data") == 3);  // the list, and twice the parts
  }
  SECTION("in every answer") {
    left = 1000;
    w.check_refused(w.get(id), "digest_mismatch");
  }
  SECTION("in a raw read") {
    const auto path = w.folder.path / "a";
    CHECK(w.get_raw(id, path).ok());
    CHECK((TempFolder::read(path) == w.server.items.at(id).bytes));
    left = 1000;
    const auto wrong = w.get_raw(id, w.folder.path / "b");
    REQUIRE_FALSE(wrong.ok());
    CHECK(wrong.error().kind == ErrorKind::retry);
    CHECK(wrong.error().code == "digest_mismatch");
    CHECK(w.folder.listing() == std::vector<std::string>{"a"});
  }
  SECTION("in one of many: the others are not fetched again") {
    const std::string other = w.server.add("b", "ply", bytes_of(50'000));
    const auto files = w.download({});
    REQUIRE(files.ok());
    CHECK(files->size() == 2);
    CHECK(w.server.payload < 2 * 55'000U);
    for (const InputFile& file : *files) {
      CHECK(is_right(w.server, file));
    }
  }
  SECTION("put together of two answers, the whole is hashed") {
    w.server.has_ranges = true;
    w.server.has_etags = true;
    left = 0;
    bool first = true;
    w.server.cut = [&](const http::ServerRequest&) -> std::optional<std::uint64_t> {
      return std::exchange(first, false) ? std::optional<std::uint64_t>(3000) : std::nullopt;
    };
    w.server.harm = [&](const http::ServerRequest& r, http::ServerResponse& head, std::string& b) {
      if (is_raw(r) && head.status == 206) b[10] ^= 1;
    };
    w.check_right(w.get(id), id);  // the range is wrong, the whole after it is not
  }
}

TEST_CASE("transfer_verify: lengths that do not fit never reach a runner",
          "[storage][transfer_verify]") {
  World w;
  const std::string id = w.server.add("a", "ply", bytes_of(1000));
  const auto replace = [](std::string& body, const std::string& from, const std::string& to) {
    body.replace(body.find(from), from.size(), to);
  };
  SECTION("a part's header says fewer") {
    w.server.harm = [&](const http::ServerRequest&, http::ServerResponse&, std::string& body) {
      replace(body, "size=\"1000\"", "size=\"999\"");
    };
    w.check_refused(w.get(id), "item_changed");
  }
  SECTION("without a list it is the part that contradicts itself") {
    w.server.fault = [](const http::ServerRequest& r) -> std::optional<http::ServerResponse> {
      if (r.headers.find("accept") == "multipart/form-data") return std::nullopt;
      return http::error_response(404, "not_found", "old");
    };
    const std::string size = GENERATE("999", "1001");
    w.server.harm = [&](const http::ServerRequest&, http::ServerResponse&, std::string& body) {
      replace(body, "size=\"1000\"", "size=\"" + size + "\"");
    };
    w.check_refused(w.get(id), "multipart_size");
  }
  SECTION("the list says another size, for ever") {
    int more = GENERATE(-1, 1);
    w.server.fault = [&](const http::ServerRequest& r) -> std::optional<http::ServerResponse> {
      if (r.headers.find("accept") != "application/json") return std::nullopt;
      const std::string item = R"({"id":")" + id + R"(","name":"a","data_type":"ply","size":)" +
                               std::to_string(1000 + more) + R"(,"updated_at":"t"})";
      return http::ServerResponse::json(200, R"({"data":[)" + item + "]}");
    };
    w.check_refused(w.get(id), "item_changed");
  }
  SECTION("the item is replaced between the list and its bytes") {
    bool replaced = false;
    w.server.served = [&](const http::ServerRequest&) {
      if (std::exchange(replaced, true)) return;
      w.server.items.at(id).bytes = bytes_of(1500, 2);
      w.server.items.at(id).version = 2;
    };
    w.check_right(w.get(id), id);
  }
  SECTION("the answer holds fewer bytes than it says, and is whole to HTTP") {
    w.server.harm = [&](const http::ServerRequest&, http::ServerResponse&, std::string& body) {
      body.resize(600);
    };
    w.check_refused(w.get(id), "item_changed");
  }
  SECTION("a list that ignores the filter promises nothing") {
    w.server.add("b", "ply", "other");
    w.server.fault = [&](const http::ServerRequest& r) -> std::optional<http::ServerResponse> {
      if (r.headers.find("accept") != "application/json") return std::nullopt;
      const std::string one = R"({"id":")" + id + R"(","size":1000,"updated_at":"t"})";
      return http::ServerResponse::json(
          200, R"({"data":[)" + one + R"(,{"id":"another","size":3,"updated_at":"t"}]})");
    };
    w.check_right(w.get(id), id);
  }
  SECTION("the list names an item that never comes") {
    w.server.add("b", "ply", "other");
    w.server.fault = [&](const http::ServerRequest& r) -> std::optional<http::ServerResponse> {
      if (r.headers.find("accept") != "application/json") return std::nullopt;
      const std::string rest = R"(","name":"a","updated_at":"t","size":)";
      return http::ServerResponse::json(
          200, R"({"data":[{"id":")" + id + rest + R"(1000},{"id":"ghost)" + rest + "3}]}");
    };
    DataQuery query;
    query.name = "a";
    w.check_refused(w.download(query), "data_incomplete");
  }
}

TEST_CASE("transfer_verify: a server that dies at every k-th byte is read to the end",
          "[storage][transfer_verify]") {
  World w;
  w.server.has_ranges = true;
  w.server.has_etags = GENERATE(true, false);
  w.server.has_digests = GENERATE(true, false);
  const std::uint64_t k = GENERATE(700U, 4099U, 30'000U);
  const std::size_t size = 40 * k > 100'000 ? 100'000 : 40 * k;  // with more breaks than tries
  const std::string id = w.server.add("a", "ply", bytes_of(size));
  w.server.cut = [&](const http::ServerRequest&) { return k; };
  INFO("k " << k << " etags " << w.server.has_etags << " digests " << w.server.has_digests);
  SECTION("as a task's input") {
    w.check_right(w.get(id), id);
    CHECK(w.server.payload <= size + 400);  // the one part's header
  }
  SECTION("as a client's file") {
    if (!w.server.has_etags) return;  // nothing tells the versions apart: always anew
    const auto path = w.folder.path / "a";
    const auto got = w.get_raw(id, path);
    REQUIRE(got.ok());
    CHECK(*got == size);
    CHECK((TempFolder::read(path) == w.server.items.at(id).bytes));
    CHECK(w.server.payload == size);
  }
}

TEST_CASE("transfer_verify: a server without what resuming needs is asked for all again",
          "[storage][transfer_verify]") {
  World w;
  const std::string id = w.server.add("a", "ply", bytes_of(9000));
  int cuts = 1;
  w.server.cut = [&](const http::ServerRequest&) -> std::optional<std::uint64_t> {
    return cuts-- > 0 ? std::optional<std::uint64_t>(5000) : std::nullopt;
  };
  SECTION("200 for a range: begun anew, never appended") {
    w.check_right(w.get(id), id);
    CHECK(w.server.count("GET /data/" + id) == 1);
    CHECK(w.server.seen.size() == 3);  // the list and the parts before it
  }
  SECTION("200 for a range of a client's file") {
    w.server.has_etags = true;
    const auto path = w.folder.path / "a";
    const auto got = w.get_raw(id, path);
    REQUIRE(got.ok());
    CHECK(*got == 9000);
    CHECK((TempFolder::read(path) == w.server.items.at(id).bytes));
    CHECK(w.server.seen.size() == 2);
  }
  SECTION("another range than asked for") {
    w.server.has_ranges = true;
    w.server.harm = [&](const http::ServerRequest&, http::ServerResponse& head, std::string& body) {
      if (head.status != 206) return;
      body = w.server.items.at(id).bytes.substr(10, body.size());
      head.headers.set("Content-Range", "bytes 10-" + std::to_string(9 + body.size()) + "/9000");
    };
    w.check_right(w.get(id), id);
  }
  SECTION("416") {
    w.server.fault = [](const http::ServerRequest& r) -> std::optional<http::ServerResponse> {
      if (!r.headers.find("range")) return std::nullopt;
      return http::error_response(416, "range", "no");
    };
    w.check_right(w.get(id), id);
  }
  SECTION("no raw reads at all: the parts again") {
    const int status = GENERATE(404, 405, 501);
    w.server.fault = [=](const http::ServerRequest& r) -> std::optional<http::ServerResponse> {
      if (!is_raw(r)) return std::nullopt;
      return http::error_response(status, "no", "no");
    };
    w.check_right(w.get(id), id);
    CHECK(w.server.count("GET /data") == 3);
  }
  SECTION("it never comes further: given up, nothing stays") {
    cuts = 1000;
    const Files files = w.get(id);
    REQUIRE_FALSE(files.ok());
    CHECK(files.error().kind == ErrorKind::retry);
    CHECK(w.folder.listing().empty());
    CHECK(w.server.seen.size() < 12);
  }
}

TEST_CASE("transfer_verify: two versions are never put together", "[storage][transfer_verify]") {
  World w;
  w.server.has_ranges = true;
  w.server.has_etags = GENERATE(true, false);
  const std::string id = w.server.add("a", "ply", bytes_of(9000));
  const int change_after = GENERATE(1, 2);
  int answers = 0;
  w.server.cut = [&](const http::ServerRequest&) -> std::optional<std::uint64_t> {
    const int answer = ++answers;
    if (answer == change_after) {
      w.server.items.at(id).bytes = bytes_of(9000, 2);  // of the same size
      w.server.items.at(id).version = 2;
    }
    return answer <= 2 ? std::optional<std::uint64_t>(3000) : std::nullopt;
  };
  SECTION("of an input") { w.check_right(w.get(id), id); }
  SECTION("of a client's file") {
    const auto path = w.folder.path / "a";
    REQUIRE(w.get_raw(id, path).ok());
    CHECK((TempFolder::read(path) == w.server.items.at(id).bytes));
  }
}

TEST_CASE("transfer_verify: parts that no list names are never lost, wherever an answer breaks",
          "[storage][transfer_verify]") {
  World w;
  w.server.has_ranges = true;
  const int tells = GENERATE(0, 1, 2);  // of the answer
  w.server.tells_length = tells == 1;
  w.server.counts_parts = tells == 2;
  const std::string id = w.server.add("a", "ply", bytes_of(20));
  w.server.related.push_back({"a_more", "csv", "related", 1});
  const auto get = [&](const std::string& folder) {
    return w.world.run(w.world.client->download(by_id(id), w.folder.path / folder));
  };
  REQUIRE(get("whole").ok());
  const std::uint64_t whole = w.server.payload;
  REQUIRE(whole > 300);
  for (std::uint64_t end = 0; end < whole; ++end) {
    bool broken = false;
    w.server.cut = [&](const http::ServerRequest&) -> std::optional<std::uint64_t> {
      return std::exchange(broken, true) ? std::nullopt : std::optional(end);
    };
    INFO("broken off at " << end << ", tells " << tells);
    const Files files = get(std::to_string(end));
    REQUIRE(files.ok());
    REQUIRE(files->size() == 2);
    CHECK(is_right(w.server, files->front()));
    CHECK(TempFolder::read(files->back().path) == "related");
  }
}

TEST_CASE("transfer_verify: nor is one lost that comes damaged", "[storage][transfer_verify]") {
  World w;
  w.server.has_digests = true;
  const std::string id = w.server.add("a", "ply", bytes_of(200));
  w.server.related.push_back({"more", "csv", "related", 1});
  bool first = true;
  w.server.harm = [&](const http::ServerRequest&, http::ServerResponse&, std::string& body) {
    if (std::exchange(first, false)) body[body.rfind("related")] ^= 1;
  };
  const Files files = w.get(id);
  REQUIRE(files.ok());
  REQUIRE(files->size() == 2);
  CHECK(is_right(w.server, files->front()));
  CHECK(TempFolder::read(files->back().path) == "related");
}

TEST_CASE("transfer_verify: of several items what came whole stays, where no other can be missing",
          "[storage][transfer_verify]") {
  World w;
  w.server.has_ranges = true;
  w.server.counts_parts = GENERATE(true, false);
  for (const char* name : {"a", "b", "c"}) w.server.add(name, "ply", bytes_of(10'000));
  bool broken = false;
  w.server.cut = [&](const http::ServerRequest&) -> std::optional<std::uint64_t> {
    return std::exchange(broken, true) ? std::nullopt : std::optional<std::uint64_t>(15'000);
  };
  const Files files = w.download({});
  REQUIRE(files.ok());
  REQUIRE(files->size() == 3);
  for (const InputFile& file : *files) {
    CHECK(is_right(w.server, file));
  }
  // Who does not say how many parts there are may have sent more behind the one that broke.
  CHECK(w.server.payload > (w.server.counts_parts ? 30'000U : 45'000U));
  CHECK(w.server.payload < (w.server.counts_parts ? 31'000U : 46'000U));
}

TEST_CASE("transfer_verify: bytes that the list's digest does not fit never reach a runner",
          "[storage][transfer_verify]") {
  World w;
  w.server.tells_digest = true;  // in the list alone
  const std::string id = w.server.add("a", "ply", bytes_of(5000));
  int left = GENERATE(1, 1000);
  const bool once = left == 1;
  w.server.harm = [&](const http::ServerRequest&, http::ServerResponse&, std::string& body) {
    if (left-- > 0) body[body.size() / 2] ^= 1;
  };
  if (once) {
    w.check_right(w.get(id), id);
  } else {
    w.check_refused(w.get(id), "digest_mismatch");
  }
}

TEST_CASE("transfer_verify: an answer damaged on its way is asked for again",
          "[storage][transfer_verify]") {
  World w;
  const std::string id = w.server.add("a", "ply", bytes_of(5000));
  bool first = true;
  const std::string what = GENERATE("size", "Content-Disposition", "--B");
  w.server.harm = [&](const http::ServerRequest&, http::ServerResponse&, std::string& body) {
    if (std::exchange(first, false)) body[body.find(what)] ^= 1;
  };
  w.check_right(w.get(id), id);
}

TEST_CASE("transfer_verify: a socket that stalls is let go, and the rest fetched anew",
          "[storage][transfer_verify]") {
  TestLoop loop;
  int requests = 0;
  ScriptedServer server(loop, [&](ScriptedConnection& c, int) -> Awaitable<void> {
    const std::string head = co_await c.read_head();
    ++requests;
    const std::string answer = testing::http_answer(200, "0123456789");
    const std::string sent = requests == 1 ? answer.substr(0, answer.size() - 5) : answer;
    co_await c.write(sent);
    co_await c.until_closed();
  });
  DomainClientOptions options = DomainWorld::quick();
  options.low_speed_time = std::chrono::seconds(1);
  DomainWorld world(loop, server.url("/"), {"t1"}, options);
  const TempFolder folder;
  const auto got = world.run(world.client->download_raw(DataId("i"), folder.path / "a"));
  REQUIRE(got.ok());
  CHECK(TempFolder::read(folder.path / "a") == "0123456789");
  CHECK(requests == 2);
}

TEST_CASE("transfer_verify: whatever breaks and where, what comes is right",
          "[storage][transfer_verify]") {
  const auto seed =
      static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
  CAPTURE(seed);
  testing::FakeRng rng(seed);
  const auto pick = [&](std::uint64_t low, std::uint64_t high) { return uniform(rng, low, high); };
  for (int round = 0; round < 40; ++round) {
    World w;
    w.server.has_ranges = pick(0, 1) == 1;
    w.server.has_etags = pick(0, 1) == 1;
    w.server.has_digests = pick(0, 3) != 0;
    const std::uint64_t items = pick(1, 6);
    for (std::uint64_t i = 0; i < items; ++i) {
      w.server.add("n" + std::to_string(i), "t", bytes_of(pick(0, 20'000), pick(1, 1000)));
    }
    std::uint64_t faults = pick(0, 5);
    w.server.cut = [&](const http::ServerRequest&) -> std::optional<std::uint64_t> {
      if (faults == 0 || pick(0, 2) == 0) return std::nullopt;
      --faults;
      return pick(0, 40'000);
    };
    w.server.harm = [&](const http::ServerRequest&, http::ServerResponse&, std::string& body) {
      if (!w.server.has_digests || faults == 0 || body.size() < 1000 || pick(0, 4) != 0) return;
      --faults;
      body[pick(500, body.size() - 1)] ^= 4;
    };
    w.server.fault = [&](const http::ServerRequest&) -> std::optional<http::ServerResponse> {
      if (faults == 0 || pick(0, 4) != 0) return std::nullopt;
      --faults;
      return http::error_response(503, "busy", "later");
    };
    INFO("round " << round << " items " << items);
    const auto files = w.download({});
    if (!files.ok()) {
      // A flip can hit the envelope, where it contradicts itself; else nothing here is for good.
      CHECK(files.error().kind != ErrorKind::internal);
      CHECK(w.folder.listing().empty());
      continue;
    }
    REQUIRE(files->size() == items);
    for (const InputFile& file : *files) {
      CHECK(is_right(w.server, file));
    }
  }
}

}  // namespace pn::storage
