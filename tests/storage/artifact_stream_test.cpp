#include "base/awaitable.hpp"
#include "base/ids.hpp"
#include "base/offload.hpp"
#include "base/result.hpp"
#include "http/server.hpp"
#include "http/types.hpp"
#include "storage/ports.hpp"
#include "storage/spool.hpp"
#include "storage/task_ports.hpp"
#include "tests/storage/upload_fixture.hpp"
#include "tests/support/temp_folder.hpp"
#include "tests/support/test_loop.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

namespace pn::storage {
namespace {

using testing::pattern;
using testing::Started;
using testing::UploadFixture;

struct Fixture : UploadFixture {
  std::unique_ptr<pn::testing::DomainWorld> world;
  std::unique_ptr<TaskArtifacts> outputs;

  explicit Fixture(std::size_t parallel = 2) {
    settings.parallel = parallel;
    world = life();
    outputs = std::make_unique<TaskArtifacts>(
        world->client, TaskId("t"), "", [this] { return folder.path / "outputs"; });
  }
  ~Fixture() { loop.run(outputs->close()); }
  Fixture(const Fixture&) = delete;
  Fixture& operator=(const Fixture&) = delete;

  Awaitable<std::unique_ptr<ArtifactStream>> open() {
    const PutOptions options;
    Result<std::unique_ptr<ArtifactStream>> stream =
        co_await outputs->open_stream("n.ply", options);
    REQUIRE(stream.ok());
    co_return *std::move(stream);
  }
  /// Until `done`, in a runner's coroutine.
  Awaitable<void> seen(std::function<bool()> done) {
    while (!done()) co_await world->clock.sleep_for(Millis(1));
  }
  /// Open ones of spools, with a name or without.
  [[nodiscard]] int descriptors() const {
    const std::string spools = (folder.path / "outputs").string();
    int count = 0;
    for (const auto& fd : std::filesystem::directory_iterator("/proc/self/fd")) {
      std::error_code gone;
      const std::string target = std::filesystem::read_symlink(fd.path(), gone).string();
      if (target.starts_with(spools)) ++count;
    }
    return count;
  }
  [[nodiscard]] bool spooled() const {
    const auto folder_there = folder.path / "outputs";
    return std::filesystem::exists(folder_there) && !std::filesystem::is_empty(folder_there);
  }
};

}  // namespace

TEST_CASE("artifact stream: what is small goes in one request", "[storage][stream]") {
  Fixture f;
  f.server.request_max = 10'000;
  const std::size_t size = GENERATE(as<std::size_t>(), 0, 5000);
  const auto runner = [&]() -> Awaitable<void> {
    const std::unique_ptr<ArtifactStream> stream = co_await f.open();
    const std::string bytes = pattern(size);
    const Result<void> written = co_await stream->write(bytes);
    CHECK(written.ok());
    CHECK(f.outputs->artifacts().empty());
    const Result<Artifact> artifact = co_await stream->finish();
    REQUIRE(artifact.ok());
    CHECK(artifact->logical_path == "n.ply");
    CHECK(f.outputs->artifacts() == std::vector<Artifact>{*artifact});
  };
  f.loop.run(runner());
  CHECK(f.stored() == pattern(size));
  CHECK(f.server.count("POST /data") == 1);
  CHECK_FALSE(f.spooled());
}

TEST_CASE("artifact stream: what the server has already is not sent", "[storage][stream]") {
  Fixture f;
  f.server.request_max = 10'000;
  f.server.tells_digest = true;
  const std::string id = f.server.add("n_ply_t", "ply", pattern(5000));
  const auto runner = [&]() -> Awaitable<void> {
    for (int put = 1; put <= 2; ++put) {  // looked up; and known to the task by then
      const std::unique_ptr<ArtifactStream> stream = co_await f.open();
      const std::string bytes = pattern(5000);
      const Result<void> written = co_await stream->write(bytes);
      REQUIRE(written.ok());
      // The look-up is over before the size is known.
      co_await f.seen([&] { return f.server.count("GET /api/v1/info") == 1; });
      const Result<Artifact> artifact = co_await stream->finish();
      REQUIRE(artifact.ok());
      CHECK(artifact->id == DataId(id));
    }
  };
  f.loop.run(runner());
  CHECK(f.server.items.at(id).version == 1);
  CHECK(f.server.seen.size() == 3);  // the limits, and two look-ups
}

TEST_CASE("artifact stream: parts go out while more is written, the last is what is left",
          "[storage][stream][mt]") {
  Fixture f;
  std::optional<bool> sized;
  f.server.served = [&](const http::ServerRequest& request) {
    if (request.has_query("uploads")) {
      sized = f.server.uploads.begin()->second.order.contains("size");
    }
  };
  const std::string bytes = pattern(5300);
  const auto runner = [&]() -> Awaitable<void> {
    const std::unique_ptr<ArtifactStream> stream = co_await f.open();
    for (std::size_t at = 0; at < bytes.size(); at += 700) {
      const std::string piece = bytes.substr(at, 700);
      const Result<void> written = co_await stream->write(piece);
      REQUIRE(written.ok());
    }
    co_await f.seen([&] { return f.parts_sent() == 5; });  // all that are full
    CHECK(f.server.items.empty());
    const Result<Artifact> artifact = co_await stream->finish();
    REQUIRE(artifact.ok());
  };
  f.loop.run(runner());
  CHECK(f.stored() == bytes);
  CHECK(f.parts_sent() == 6);
  CHECK(sized == false);
  CHECK_FALSE(f.spooled());
}

TEST_CASE("artifact stream: a writer waits where the network is slower", "[storage][stream]") {
  Fixture f;
  f.server.parts_together = 100;  // no part is answered
  std::size_t written = 0;
  const auto runner = [&]() -> Awaitable<void> {
    const std::unique_ptr<ArtifactStream> stream = co_await f.open();
    for (; written < 20'000; written += 500) {
      const std::string piece = pattern(500, written);
      const Result<void> done = co_await stream->write(piece);
      REQUIRE(done.ok());
    }
    const Result<Artifact> artifact = co_await stream->finish();
    REQUIRE(artifact.ok());
  };
  Started started(f.loop, runner());
  std::size_t before = 0;
  int still = 0;
  f.until([&] {  // nothing moves any more
    still = f.server.parts_at_once == 2 && before == written ? still + 1 : 0;
    before = written;
    return still >= 30;
  });
  CHECK(written >= 3000);
  CHECK(written <= 5000);  // two are under way, one is next, two wait
  f.server.parts_together = 1;
  f.until([&] { return started.done(); });
  started.rethrow();
  CHECK(f.stored().size() == 20'000);
}

TEST_CASE("artifact stream: a writer waits for an upload that asks for nothing yet too",
          "[storage][stream]") {
  pn::testing::TestLoop loop;
  ThreadPool pool("files", 1);
  const pn::testing::TempFolder folder;
  constexpr std::size_t kMiB = 1024 * 1024;
  constexpr std::size_t kRoom = Spool::kFirstPiece / kMiB;
  std::unique_ptr<Spool> spool;
  std::size_t written = 0;
  const auto runner = [&]() -> Awaitable<void> {
    const MakeRoom no_cache;
    Result<std::unique_ptr<Spool>> opened =
        co_await Spool::open(pool, folder.path / "spool", 1, no_cache);
    REQUIRE(opened.ok());
    spool = *std::move(opened);
    const std::string piece(kMiB, 'x');
    for (; written < 4 * kRoom; ++written) {
      const Result<void> done = co_await spool->write(piece);
      REQUIRE(done.ok());
    }
  };
  Started started(loop, runner());
  REQUIRE(loop.run_until([&] { return written == kRoom - 1; }));
  CHECK_FALSE(loop.run_until([&] { return written >= kRoom; }, std::chrono::milliseconds(200)));
  std::uint64_t there = 0;
  const auto reader = [&]() -> Awaitable<void> {
    there = co_await spool->available(0, 2 * Spool::kFirstPiece);
  };
  Started reading(loop, reader());
  REQUIRE(loop.run_until([&] { return reading.done(); }));  // the writer goes on
  CHECK(there == 2 * Spool::kFirstPiece);
  spool->release();
  REQUIRE(loop.run_until([&] { return started.done(); }));
  started.rethrow();
}

TEST_CASE("artifact stream: one that is dropped leaves nothing", "[storage][stream][mt]") {
  Fixture f;
  f.server.parts_together = 100;
  const bool cancelled = GENERATE(false, true);
  bool under_way = false;
  const auto runner = [&]() -> Awaitable<void> {
    const std::unique_ptr<ArtifactStream> stream = co_await f.open();
    const std::string bytes = pattern(2500);
    const Result<void> written = co_await stream->write(bytes);
    REQUIRE(written.ok());
    co_await f.seen([&] { return f.server.parts_at_once == 2; });
    under_way = true;
    if (cancelled) co_await f.seen([] { return false; });
  };
  Started started(f.loop, runner());
  f.until([&] { return under_way; });
  if (cancelled) started.cancel();
  f.until([&] { return started.done(); });
  f.server.parts_together = 1;
  f.loop.run(f.outputs->close());
  CHECK(f.aborts() == 1);
  CHECK(f.server.uploads.empty());
  CHECK(f.server.items.empty());
  CHECK(f.outputs->artifacts().empty());
  CHECK_FALSE(f.spooled());
}

TEST_CASE("artifact stream: a server that forgot the upload gets it from the spool",
          "[storage][stream]") {
  Fixture f;
  bool forgot = false;
  f.server.fault = [&](const http::ServerRequest& request) -> std::optional<http::ServerResponse> {
    if (UploadFixture::is_part(request, "3") && !std::exchange(forgot, true)) {
      f.server.uploads.clear();
    }
    return std::nullopt;
  };
  const auto runner = [&]() -> Awaitable<void> {
    const std::unique_ptr<ArtifactStream> stream = co_await f.open();
    for (std::size_t at = 0; at < 5; ++at) {
      const std::string piece = pattern(900, at);
      const Result<void> written = co_await stream->write(piece);
      REQUIRE(written.ok());
    }
    const Result<Artifact> artifact = co_await stream->finish();
    REQUIRE(artifact.ok());
  };
  f.loop.run(runner());
  std::string all;
  for (std::size_t at = 0; at < 5; ++at) all += pattern(900, at);
  CHECK(f.stored() == all);
}

TEST_CASE("artifact stream: a refusal is told to the writer", "[storage][stream]") {
  Fixture f;
  f.server.fault = [&](const http::ServerRequest& request) -> std::optional<http::ServerResponse> {
    if (!UploadFixture::is_part(request, "1")) return std::nullopt;
    return http::error_response(403, "no", "not here");
  };
  const auto runner = [&]() -> Awaitable<void> {
    const std::unique_ptr<ArtifactStream> stream = co_await f.open();
    Result<void> written;
    while (written.ok()) {
      const std::string piece = pattern(500);
      written = co_await stream->write(piece);
    }
    CHECK(written.error().code == "http_403");
    const Result<Artifact> artifact = co_await stream->finish();
    REQUIRE_FALSE(artifact.ok());
    CHECK(artifact.error().code == "http_403");
  };
  f.loop.run(runner());
  CHECK(f.server.uploads.empty());
  CHECK(f.outputs->artifacts().empty());
}

TEST_CASE("artifact stream: a slow writer is told of a refusal before the next part is full",
          "[storage][stream]") {
  Fixture f;
  f.server.fault = [&](const http::ServerRequest& request) -> std::optional<http::ServerResponse> {
    if (!UploadFixture::is_part(request, "1")) return std::nullopt;
    return http::error_response(403, "no", "not here");
  };
  const auto runner = [&]() -> Awaitable<void> {
    const std::unique_ptr<ArtifactStream> stream = co_await f.open();
    const std::string part = pattern(1000);
    Result<void> written = co_await stream->write(part);
    for (int more = 0; written.ok() && more < 900; ++more) {
      co_await f.world->clock.sleep_for(Millis(1));
      written = co_await stream->write("x");
    }
    REQUIRE_FALSE(written.ok());
    CHECK(written.error().code == "http_403");
  };
  f.loop.run(runner());
}

TEST_CASE("artifact stream: one that is finished keeps no room on the disk", "[storage][stream]") {
  Fixture f;
  const auto runner = [&]() -> Awaitable<void> {
    const std::unique_ptr<ArtifactStream> stream = co_await f.open();
    const std::string bytes = pattern(2500);
    const Result<void> written = co_await stream->write(bytes);
    REQUIRE(written.ok());
    CHECK(f.descriptors() > 0);
    const Result<Artifact> artifact = co_await stream->finish();
    REQUIRE(artifact.ok());
    CHECK(f.descriptors() == 0);  // while the runner goes on
  };
  f.loop.run(runner());
}

}  // namespace pn::storage
