#include "node/upload_log.hpp"

#include "base/ids.hpp"
#include "base/log.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "node/journal.hpp"
#include "node/sqlite.hpp"
#include "node/state_db.hpp"
#include "node/write_fence.hpp"
#include "storage/upload_journal.hpp"
#include "tests/support/temp_folder.hpp"

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <catch2/catch.hpp>

namespace pn::node {
namespace {

using pn::testing::TempFolder;
using storage::JournalledPart;
using storage::JournalledUpload;
using storage::UploadKey;

const SystemTime kNow(std::chrono::seconds(1'800'000'000));

UploadKey key(const std::string& name = "n") {
  return {.server = "http://s", .domain = DomainId("d"), .name = name, .data_type = "ply"};
}

JournalledUpload upload(const std::string& id) {
  JournalledUpload out;
  out.upload_id = id;
  out.part_size = 1000;
  out.size = std::uint64_t{5} << 40U;
  out.begun = kNow;
  return out;
}

JournalledPart part(std::uint32_t number, const std::string& etag) {
  return {.number = number, .etag = etag, .sha256 = std::string(64, 'a')};
}

struct Fixture {
  TempFolder dir;
  const std::filesystem::path file = dir.path / "state.db";
  std::vector<std::string> lines;
  log::Logger logger{log::Options{.level = log::Level::debug, .format = log::Format::text},
                     [this](log::Level, std::string_view line) { lines.emplace_back(line); }};

  Fixture() { REQUIRE(StateDb::open(file).ok()); }
};

}  // namespace

TEST_CASE("upload log: what was noted is there in the next life", "[node][upload_log]") {
  Fixture f;
  JournalledUpload expected = upload("u1");
  expected.existing = DataId("record");
  {
    UploadLog log(f.file, f.logger);
    CHECK_FALSE(log.find(key()));
    log.begin(key(), expected);
    log.part(key(), "u1", part(3, "e3"));
    log.part(key(), "u1", part(1, "e1"));
    log.part(key(), "u1", part(3, "e3-again"));
  }
  UploadLog log(f.file, f.logger);
  expected.parts = {part(1, "e1"), part(3, "e3-again")};
  CHECK(log.find(key()) == expected);
  CHECK_FALSE(log.find(key("other")));
  log.end(key(), "u1");
  CHECK_FALSE(log.find(key()));
  CHECK(f.lines.empty());
}

TEST_CASE("upload log: a late attempt changes nothing of the next one's", "[node][upload_log]") {
  Fixture f;
  UploadLog log(f.file, f.logger);
  log.begin(key(), upload("u1"));
  log.part(key(), "u1", part(1, "old"));
  log.begin(key(), upload("u2"));
  log.part(key(), "u1", part(2, "old"));
  log.end(key(), "u1");
  CHECK(log.find(key()) == upload("u2"));
}

TEST_CASE("upload log: what is old goes with its parts", "[node][upload_log]") {
  Fixture f;
  UploadLog log(f.file, f.logger);
  JournalledUpload old = upload("u1");
  old.begun = kNow - std::chrono::hours(7 * 24 + 1);
  log.begin(key("old"), old);
  log.part(key("old"), "u1", part(1, "e"));
  log.begin(key(), upload("u2"));
  log.expire(kNow - std::chrono::hours(7 * 24));
  CHECK_FALSE(log.find(key("old")));
  CHECK(log.find(key()));
  auto raw = SqliteFile::open(f.file);
  CHECK(*raw->number("SELECT count(*) FROM upload_part") == 0);
}

TEST_CASE("upload log: an older node still opens the file", "[node][upload_log]") {
  Fixture f;
  {
    UploadLog log(f.file, f.logger);
  }
  auto raw = SqliteFile::open(f.file);
  CHECK(*raw->number("PRAGMA user_version") == 1);
  auto db = StateDb::open(f.file);
  REQUIRE(db.ok());
  CHECK((*db)->load()->empty());
}

TEST_CASE("upload log: a disk that does not take it is said once, and fails nobody",
          "[node][upload_log]") {
  Fixture f;
  UploadLog log(f.file, f.logger);
  auto raw = SqliteFile::open(f.file);
  REQUIRE(raw->execute("DROP TABLE upload").ok());
  log.begin(key(), upload("u1"));
  log.part(key(), "u1", part(1, "e"));
  CHECK_FALSE(log.find(key()));
  log.end(key(), "u1");
  REQUIRE(f.lines.size() == 1);
  CHECK(f.lines[0].find("upload.journal_failed") != std::string::npos);
  UploadLog nowhere(f.dir.path / "none" / "state.db", f.logger);
  CHECK_FALSE(nowhere.find(key()));
}

TEST_CASE("upload log: outcomes and uploads are written at the same time",
          "[node][upload_log][mt]") {
  Fixture f;
  auto db = StateDb::open(f.file);
  REQUIRE(db.ok());
  UploadLog log(f.file, f.logger);
  std::thread writer([&log] {
    log.begin(key(), upload("u1"));
    for (std::uint32_t i = 1; i <= 50; ++i) log.part(key(), "u1", part(i, "e"));
  });
  bool all = true;
  for (RowId id = 1; id <= 50; ++id) {
    JournalRow row;
    row.id = id;
    row.body = "{}";
    const RowChange change = PutRow{row};
    const std::vector<const RowChange*> changes{&change};
    all = all && (*db)->write(changes, StateDb::Sync::durable).ok();
  }
  writer.join();
  CHECK(all);
  CHECK((*db)->load()->size() == 50);
  CHECK(log.find(key())->parts.size() == 50);
  CHECK(f.lines.empty());
}

TEST_CASE("upload log: only a canceled job's uploads are not kept", "[node][upload_log]") {
  Fixture f;
  UploadLog log(f.file, f.logger);
  WriteFence fence;
  const LeaseUploads uploads(log, fence);
  CHECK(uploads.kept());
  fence.close();  // lost: the next attempt may be ours
  CHECK(uploads.kept());
  fence.cancel();
  CHECK_FALSE(uploads.kept());
}

}  // namespace pn::node
