#include "base/ids.hpp"
#include "base/result.hpp"
#include "http/server.hpp"
#include "storage/task_ports.hpp"
#include "storage/upload_journal.hpp"
#include "tests/storage/upload_fixture.hpp"

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>

#include <catch2/catch.hpp>

// What an upload that was cut short leaves, and what the next one makes of it. The process that is
// killed is in tests/e2e/upload_resume_test.cpp.

namespace pn::storage {
namespace {

using testing::pattern;
using testing::UploadFixture;

constexpr std::size_t kSize = 19'500;  // 20 parts
constexpr int kParts = 20;

struct Fixture : UploadFixture {
  /// Half of it is there, and the client gone.
  void half() {
    cut_short(pattern(kSize), [this] { return parts_sent() >= kParts / 2; });
    REQUIRE(server.uploads.size() == 1);
    REQUIRE(server.items.empty());
    noted = static_cast<int>(journal.only().parts.size());
    REQUIRE(noted >= kParts / 2 - 4);
    REQUIRE(noted <= kParts / 2);
    before = parts_sent();
  }
  int noted = 0;
  int before = 0;
};

}  // namespace

TEST_CASE("upload_resume: the next one sends what is missing, and no more",
          "[storage][upload_resume][mt]") {
  Fixture f;
  f.half();
  CHECK(f.aborts() == 0);
  CHECK(f.journal.only().size == kSize);
  const auto item = f.upload(pattern(kSize));
  REQUIRE(item.ok());
  CHECK(f.stored() == pattern(kSize));
  CHECK(f.parts_sent() - f.before == kParts - f.noted);
  CHECK(f.parts_sent() <= kParts + 4);  // one a worker, at worst
  CHECK(f.server.count("POST /data/multipart") == 2);
  CHECK(f.journal.size() == 0);
  CHECK(f.server.uploads.empty());
}

TEST_CASE("upload_resume: a part whose bytes are others by now is sent again",
          "[storage][upload_resume]") {
  Fixture f;
  f.half();
  const std::size_t first = (f.journal.only().parts.front().number - 1) * std::size_t{1000};
  std::string changed = pattern(kSize);
  changed[first + 500] ^= 1;
  REQUIRE(f.upload(changed).ok());
  CHECK(f.stored() == changed);
  CHECK(f.parts_sent() - f.before == kParts - f.noted + 1);
}

TEST_CASE("upload_resume: a server that forgot it gets all of it", "[storage][upload_resume]") {
  Fixture f;
  SECTION("before the last part") {
    f.half();
    f.server.uploads.clear();
  }
  SECTION("with every part there, and asked to complete it") {
    f.server.fault =
        [&](const http::ServerRequest& request) -> std::optional<http::ServerResponse> {
      if (!UploadFixture::completes(request)) return std::nullopt;
      return http::error_response(503, "busy", "later");
    };
    REQUIRE_FALSE(f.upload(pattern(kSize)).ok());
    CHECK(f.journal.only().parts.size() == kParts);
    f.server.fault = nullptr;
    f.server.uploads.clear();
  }
  REQUIRE(f.upload(pattern(kSize)).ok());
  CHECK(f.stored() == pattern(kSize));
  CHECK(f.journal.size() == 0);
}

TEST_CASE("upload_resume: what the server does not go on with is begun anew",
          "[storage][upload_resume]") {
  Fixture f;
  f.half();
  const std::string first = f.server.uploads.begin()->first;
  f.server.fault = [&](const http::ServerRequest& request) -> std::optional<http::ServerResponse> {
    if (request.query_value("uploadId") == first && UploadFixture::completes(request)) {
      return http::error_response(400, "part_missing", "a part is missing");
    }
    return std::nullopt;
  };
  REQUIRE(f.upload(pattern(kSize)).ok());
  CHECK(f.stored() == pattern(kSize));
  CHECK(f.aborts() == 1);
  CHECK(f.server.uploads.empty());
  CHECK(f.journal.size() == 0);
}

TEST_CASE("upload_resume: an entry that does not fit is aborted and replaced",
          "[storage][upload_resume]") {
  Fixture f;
  f.half();
  std::string bytes = pattern(kSize);
  SECTION("content of another size") { bytes = pattern(5000); }
  SECTION("a record that has been made since") { f.server.add("n", "ply", "other"); }
  REQUIRE(f.upload(bytes).ok());
  CHECK(f.stored() == bytes);
  CHECK(f.aborts() == 1);
  CHECK(f.server.uploads.empty());
  CHECK(f.journal.size() == 0);
}

TEST_CASE("upload_resume: what fails for good is aborted, an outage is sat out",
          "[storage][upload_resume]") {
  Fixture f;
  const int status = GENERATE(403, 503);
  f.server.fault = [&](const http::ServerRequest& request) -> std::optional<http::ServerResponse> {
    if (!UploadFixture::is_part(request, "12")) return std::nullopt;
    return http::error_response(status, "x", "not this one");
  };
  REQUIRE_FALSE(f.upload(pattern(kSize)).ok());
  CHECK(f.aborts() == (status == 403 ? 1 : 0));
  CHECK(f.server.uploads.size() == (status == 403 ? 0U : 1U));
  CHECK(f.journal.size() == (status == 403 ? 0U : 1U));
}

TEST_CASE("upload_resume: one that was taken up and that its server fails at is given up",
          "[storage][upload_resume]") {
  Fixture f;
  f.half();
  const bool away = GENERATE(false, true);
  f.server.fault = [&](const http::ServerRequest& request) -> std::optional<http::ServerResponse> {
    if (request.method != http::Method::put) return std::nullopt;
    return http::error_response(away ? 503 : 500, "x", "always");
  };
  REQUIRE_FALSE(f.upload(pattern(kSize)).ok());
  CHECK(f.aborts() == (away ? 0 : 1));
  CHECK(f.journal.size() == (away ? 1U : 0U));
}

TEST_CASE("upload_resume: a cancelled one that nobody will take up is aborted",
          "[storage][upload_resume][mt]") {
  Fixture f;
  f.cut_short(pattern(kSize), [&f] {
    if (f.parts_sent() < 10) return false;
    f.journal.expects_more = false;  // the job is canceled
    return true;
  });
  CHECK(f.aborts() == 1);
  CHECK(f.server.uploads.empty());
  CHECK(f.server.items.empty());
  CHECK(f.journal.size() == 0);
}

TEST_CASE("upload_resume: two puts of one name at a time do not share an upload",
          "[storage][upload_resume]") {
  Fixture f;
  const auto world = f.life();
  TaskArtifacts outputs(world->client, TaskId("t"), "", [&f] { return f.folder.path; });
  const auto put = [&](const char* file, std::size_t seed) -> Awaitable<void> {
    const std::filesystem::path path = f.folder.write(file, pattern(kSize, seed));
    const PutOptions options;
    const auto done = co_await outputs.put_file("n.ply", path, options);
    REQUIRE(done.ok());
  };
  f.server.parts_together = 8;  // both are under way
  testing::Started one(f.loop, put("one", 1));
  testing::Started two(f.loop, put("two", 2));
  f.until([&] { return one.done() && two.done(); });
  one.rethrow();
  two.rethrow();
  const bool whole = f.stored() == pattern(kSize, 1) || f.stored() == pattern(kSize, 2);
  CHECK(whole);
  CHECK(f.server.uploads.empty());
  CHECK(f.journal.size() == 0);
}

TEST_CASE("upload_resume: nor do two tasks whose runners give one name at a time",
          "[storage][upload_resume][mt]") {
  Fixture f;
  const std::size_t size = GENERATE(as<std::size_t>(), kSize, 5000);  // of the second
  const auto world = f.life();
  const auto folder = [&f] { return f.folder.path; };
  TaskArtifacts first(world->client, TaskId("t1"), "", folder);
  TaskArtifacts second(world->another(f.server.url()), TaskId("t2"), "", folder);
  const auto put = [](TaskArtifacts& outputs, std::string bytes) -> Awaitable<void> {
    PutOptions options;
    options.name = "n";
    options.data_type = "ply";
    const auto done = co_await outputs.put_bytes("n.ply", std::move(bytes), options);
    REQUIRE(done.ok());
  };
  f.server.parts_together = 5;  // four of the first are under way until one of the second is
  testing::Started one(f.loop, put(first, pattern(kSize, 1)));
  f.until([&] { return f.server.parts_at_once == 4; });
  testing::Started two(f.loop, put(second, pattern(size, 2)));
  f.until([&] { return f.server.most_parts_at_once == 5; });
  CHECK(f.server.uploads.size() == 2);
  CHECK(f.aborts() == 0);
  f.until([&] { return one.done() && two.done(); });
  one.rethrow();
  two.rethrow();
  const bool whole = f.stored() == pattern(kSize, 1) || f.stored() == pattern(size, 2);
  CHECK(whole);
  CHECK(f.server.uploads.empty());
  CHECK(f.journal.size() == 0);
}

}  // namespace pn::storage
