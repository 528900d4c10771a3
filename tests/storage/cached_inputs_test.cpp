#include "base/awaitable.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "http/multipart.hpp"
#include "http/server.hpp"
#include "storage/cid.hpp"
#include "storage/domain_client.hpp"
#include "storage/input_cache.hpp"
#include "storage/ports.hpp"
#include "storage/task_ports.hpp"
#include "tests/http/scripted_server.hpp"
#include "tests/storage/domain_fixture.hpp"
#include "tests/storage/domain_world.hpp"
#include "tests/storage/fake_domain_server.hpp"
#include "tests/support/in_child.hpp"
#include "tests/support/small_disk.hpp"
#include "tests/support/temp_folder.hpp"
#include "tests/support/test_loop.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>
#include <unistd.h>

namespace pn::storage {
namespace {

namespace fs = std::filesystem;

using testing::by_id;
using testing::DomainWorld;
using testing::FakeDomainServer;
using testing::is_right;
using testing::ScriptedConnection;
using testing::ScriptedServer;
using testing::TempFolder;
using testing::TestLoop;

using Files = Result<std::vector<InputFile>>;

std::unique_ptr<InputCache> open_cache(const TempFolder& folder, std::uint64_t most) {
  InputCache::Options options;
  options.folder = folder.path / "cache";
  options.max_bytes = most;
  return *InputCache::open(options);
}

/// The slots of one node: a client for each task, one cache.
struct World {
  explicit World(const fs::path& disk = fs::temp_directory_path()) : folder("pn-", disk) {
    slots.cache = cache.get();
  }

  TempFolder folder;
  std::unique_ptr<InputCache> cache = open_cache(folder, 100'000'000);
  TestLoop loop;
  FakeDomainServer server{loop};
  DomainWorld slots{loop, server.url()};
  int tasks = 0;

  fs::path next() { return folder.path / ("task-" + std::to_string(++tasks)); }
  Files task(const std::string& id) { return task(by_id(id)); }
  Files task(DataQuery query) {
    const auto client = slots.another(server.url());
    return slots.run(client->download(std::move(query), next()));
  }
  void check_right(const Files& files) {
    REQUIRE(files.ok());
    for (const InputFile& file : *files) CHECK(is_right(server, file));
  }
};

/// An artifact that its runner writes piece by piece.
Awaitable<bool> stream(TaskArtifacts& outputs, std::size_t pieces) {
  const PutOptions options;
  Result<std::unique_ptr<ArtifactStream>> stream = co_await outputs.open_stream("a.ply", options);
  if (!stream.ok()) co_return false;
  const std::string piece(100'000, 'p');
  for (std::size_t i = 0; i < pieces; ++i) {
    const Result<void> written = co_await (*stream)->write(piece);
    if (!written.ok()) co_return false;
  }
  const Result<Artifact> artifact = co_await (*stream)->finish();
  co_return artifact.ok();
}

/// On a disk of 3 MiB, most of which the cache has: 0, or which step went wrong; kNotHere.
int work_on_full_disk(const fs::path& disk) {
  constexpr std::size_t kMost = 2'000'000;
  if (!testing::mount_small_disk(disk, "3m")) return pn::testing::kNotHere;
  World w(disk);
  w.server.part_size = 500'000;
  const std::string a = w.server.add("a", "ply", std::string(kMost, 'a'));
  const std::string b = w.server.add("b", "ply", std::string(kMost, 'b'));
  if (!w.task(a).ok()) return 1;
  fs::remove_all(w.folder.path / "task-1");
  if (w.cache->bytes() != kMost) return 2;
  const Files input = w.task(b);
  if (!input.ok() || !is_right(w.server, input->front())) return 3;
  fs::remove_all(w.folder.path / "task-2");
  if (w.cache->bytes() != kMost || w.cache->stats().evicted_bytes != kMost) return 4;
  TaskArtifacts outputs(
      w.slots.another(w.server.url()), TaskId("t"), "", [&w] { return w.folder.path / "outputs"; });
  const bool sent = w.loop.run(stream(outputs, kMost / 100'000));
  w.loop.run(outputs.close());
  if (!sent) return 5;
  return w.cache->stats().evicted_bytes == 2 * kMost ? 0 : 6;
}

}  // namespace

TEST_CASE("cache: a second task that wants the same input fetches no byte of it",
          "[storage][cache]") {
  World w;
  const std::string a = w.server.add("a", "ply", std::string(300'000, 'a'));
  const std::string b = w.server.add("b", "ply", "");
  w.check_right(w.task(a));
  const std::uint64_t sent = w.server.payload;
  CHECK(sent > 300'000);
  const Files second = w.task(a);
  w.check_right(second);
  CHECK(second->front().name == "a");
  CHECK(second->front().data_type == "ply");
  CHECK(w.server.payload == sent);

  SECTION("of several, the missing ones alone are fetched, and all are in the list's order") {
    const Files both = w.task(DataQuery());
    w.check_right(both);
    REQUIRE(both->size() == 2);
    CHECK(both->front().id.str() == a);
    CHECK(both->back().id.str() == b);
    CHECK(w.server.payload < sent + 300);
  }
  SECTION("one that was replaced is fetched anew") {
    w.server.items.at(a).bytes = std::string(300'000, 'n');
    w.server.items.at(a).version = 2;
    w.check_right(w.task(a));
    CHECK(w.server.payload > 2 * 300'000);
  }
  SECTION("a file that was written to behind its back is not used") {
    for (const auto& entry : fs::directory_iterator(w.folder.path / "cache")) {
      if (entry.path().filename().string().size() != 64) continue;
      fs::permissions(entry.path(), fs::perms::owner_all);
      std::ofstream out(entry.path(), std::ios::in | std::ios::out);
      out << "tampered";
    }
    w.check_right(w.task(a));
    CHECK(w.server.payload > 2 * 300'000);
  }
}

TEST_CASE("cache: two slots that want the same input at once fetch it once",
          "[storage][cache][mt]") {
  World w;
  const std::string a = w.server.add("a", "ply", std::string(300'000, 'a'));
  std::vector<std::optional<Files>> got(3);
  std::vector<std::unique_ptr<testing::Started>> slots;
  const auto ask = [&](std::size_t slot) -> Awaitable<void> {
    const auto client = w.slots.another(w.server.url());
    const fs::path folder = w.folder.path / ("slot-" + std::to_string(slot));
    DataQuery query = by_id(a);
    Files files = co_await client->download(query, folder);
    got[slot].emplace(std::move(files));
  };
  for (std::size_t i = 0; i < got.size(); ++i) {
    slots.push_back(std::make_unique<testing::Started>(w.loop, ask(i)));
  }
  const auto all_done = [&] {
    return std::all_of(slots.begin(), slots.end(), [](const auto& slot) { return slot->done(); });
  };
  SECTION("one transfer for all") {
    REQUIRE(w.loop.run_until(all_done));
    for (const auto& files : got) w.check_right(*files);
    CHECK(w.server.payload < 301'000);
  }
  SECTION("when the one that fetches is cancelled, another does") {
    REQUIRE(w.loop.run_until([&] { return w.server.payload > 0; }));
    slots.front()->cancel();
    REQUIRE(w.loop.run_until(all_done));
    CHECK(slots.front()->failed());
    w.check_right(*got[1]);
    w.check_right(*got[2]);
    CHECK(w.server.payload < 602'000);
  }
  SECTION("when its transfer fails for good, the next one hears that for itself") {
    w.server.fault = [](const http::ServerRequest& r) -> std::optional<http::ServerResponse> {
      if (r.headers.find("accept") == "application/json") return std::nullopt;
      return http::error_response(403, "forbidden", "no");
    };
    REQUIRE(w.loop.run_until(all_done));
    for (const auto& files : got) CHECK(files->error().code == "http_403");
  }
}

TEST_CASE("cache: what a list does not show whole is not kept", "[storage][cache]") {
  World w;
  const std::string a = w.server.add("a", "ply", std::string(1000, 'a'));
  w.server.related.push_back({"more", "csv", "related", 1});
  for (int i = 0; i < 2; ++i) {
    const Files files = w.task(a);
    REQUIRE(files.ok());
    CHECK(files->size() == 2);
  }
}

TEST_CASE("cache: where the disk is full it gives way to an input and to a stream's spool",
          "[storage][cache]") {
  const TempFolder disk;
  const int wrong = pn::testing::in_child([&] { return work_on_full_disk(disk.path); });
  if (wrong == pn::testing::kNotHere) {
    WARN("skipped: this machine does not let a user mount a tmpfs");
    return;
  }
  CHECK(wrong == 0);
}

TEST_CASE("cache: the same 1 GiB input again costs no byte", "[storage][cache][.slow]") {
  constexpr std::uint64_t kSize = std::uint64_t{1} << 30U;
  const TempFolder folder;
  const auto cache = open_cache(folder, 2 * kSize);
  TestLoop loop;
  std::uint64_t sent = 0;
  const std::string piece(std::size_t{1} << 20U, 'x');
  const std::string size = std::to_string(kSize);
  ScriptedServer server(loop, [&](ScriptedConnection& c, int) -> Awaitable<void> {
    const std::string head = co_await c.read_head();
    if (head.find("Accept: application/json") != std::string::npos) {
      const std::string item =
          R"({"id":"i","name":"n","data_type":"t","updated_at":"t","size":)" + size + "}";
      co_await c.write(testing::http_answer(200, R"({"data":[)" + item + "]}"));
      co_return;
    }
    const std::string begin =
        "HTTP/1.1 200 OK\r\nContent-Type: multipart/form-data; boundary=B\r\n"
        "Connection: close\r\n\r\n" +
        http::part_head("B", "x/y", {{"id", "i"}, {"name", "n"}, {"size", size}});
    co_await c.write(begin);
    for (std::uint64_t at = 0; at < kSize; at += piece.size()) {
      co_await c.write(piece);
      sent += piece.size();
    }
    co_await c.write("\r\n--B--\r\n");
  });
  DomainWorld slots(loop, server.url("/"));
  slots.cache = cache.get();
  for (int task = 0; task < 2; ++task) {
    const auto client = slots.another(server.url("/"));
    const auto path = folder.path / ("task-" + std::to_string(task));
    const Files files = loop.run(client->download(by_id("i"), path), std::chrono::seconds(120));
    REQUIRE(files.ok());
    CHECK(fs::file_size(files->front().path) == kSize);
  }
  CHECK(sent == kSize);
}

}  // namespace pn::storage
