#include "node/upload_log.hpp"

#include "base/ids.hpp"
#include "base/log.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "node/sqlite.hpp"
#include "storage/upload_journal.hpp"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include <sqlite3.h>

namespace pn::node {
namespace {

using storage::JournalledPart;
using storage::JournalledUpload;
using storage::UploadKey;

/// Frozen; a change is a table of another name.
constexpr const char* kSchema = R"(
  CREATE TABLE IF NOT EXISTS upload (
    id INTEGER PRIMARY KEY,
    server TEXT NOT NULL,
    domain TEXT NOT NULL,
    name TEXT NOT NULL,
    data_type TEXT NOT NULL,
    upload_id TEXT NOT NULL,
    part_size INTEGER NOT NULL,
    size INTEGER NOT NULL,
    existing_id TEXT NOT NULL,  -- of the record that it replaces; empty: creates one
    begun_ms INTEGER NOT NULL,
    UNIQUE (server, domain, name, data_type)
  );
  CREATE TABLE IF NOT EXISTS upload_part (
    upload INTEGER NOT NULL,
    number INTEGER NOT NULL,
    etag TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    PRIMARY KEY (upload, number)
  ) WITHOUT ROWID;
)";

/// For the disk that takes it or does not; outcomes have a limit of their own.
constexpr const char* kSettings = R"(
  PRAGMA journal_mode=WAL;
  PRAGMA synchronous=NORMAL;
  PRAGMA wal_autocheckpoint=128;
  PRAGMA cache_size=-64;
  PRAGMA temp_store=MEMORY;
)";

void set_key(sqlite3_stmt* statement, const UploadKey& key) {
  set_text(statement, 1, key.server);
  set_text(statement, 2, key.domain.str());
  set_text(statement, 3, key.name);
  set_text(statement, 4, key.data_type);
}

constexpr const char* kWhereKey =
    " WHERE server = ?1 AND domain = ?2 AND name = ?3 AND data_type = ?4";

}  // namespace

struct UploadLog::Impl {
  explicit Impl(std::filesystem::path p) : path(std::move(p)) {}

  Result<void> open() {
    Result<SqliteFile> opened = SqliteFile::open(path);
    if (!opened) return std::move(opened).error();
    Result<void> done = opened->execute(kSettings);
    if (done) done = opened->transact([&] { return opened->execute(kSchema); });
    if (done) file = *std::move(opened);
    return done;
  }
  /// One that changes rows of `key` (?1 to ?4), and has `upload_id` as ?5.
  Result<void> change(const std::string& sql, const UploadKey& key, const std::string& upload_id) {
    Result<Statement> statement = file->prepare(sql);
    if (!statement) return std::move(statement).error();
    set_key(statement->get(), key);
    if (!upload_id.empty()) set_text(statement->get(), 5, upload_id);
    return file->step(statement->get());
  }
  /// And the parts of uploads that are there no more.
  Result<void> remove(const std::string& where,
                      const UploadKey& key,
                      const std::string& upload_id) {
    Result<void> done = change("DELETE FROM upload" + where, key, upload_id);
    if (done) done = file->execute(kRemoveLoose);
    return done;
  }
  Result<void> load_parts(std::int64_t id, JournalledUpload& upload);

  static constexpr const char* kRemoveLoose =
      "DELETE FROM upload_part WHERE upload NOT IN (SELECT id FROM upload)";

  const std::filesystem::path path;
  std::mutex mutex;
  std::optional<SqliteFile> file;
  bool failed = false;
};

UploadLog::UploadLog(const std::filesystem::path& state_db, log::Logger logger)
    : logger_(std::move(logger)), impl_(std::make_unique<Impl>(state_db)) {
  attempt([](Impl&) { return Result<void>(); });
}

UploadLog::~UploadLog() = default;

void UploadLog::attempt(const std::function<Result<void>(Impl&)>& steps) {
  const std::lock_guard lock(impl_->mutex);
  Result<void> done;
  if (!impl_->file) done = impl_->open();
  if (done) done = steps(*impl_);
  if (!done && !impl_->failed) logger_.warn("upload.journal_failed", {log::field(done.error())});
  impl_->failed = !done.ok();
}

std::optional<JournalledUpload> UploadLog::find(const UploadKey& key) {
  std::optional<JournalledUpload> out;
  attempt([&](Impl& impl) -> Result<void> {
    Result<Statement> rows = impl.file->prepare(
        std::string("SELECT id, upload_id, part_size, size, existing_id, begun_ms FROM upload") +
        kWhereKey);
    if (!rows) return std::move(rows).error();
    sqlite3_stmt* const row = rows->get();
    set_key(row, key);
    const int code = sqlite3_step(row);
    if (code == SQLITE_DONE) return {};
    if (code != SQLITE_ROW) return impl.file->error(code);
    JournalledUpload upload;
    upload.upload_id = text_at(row, 1);
    upload.part_size = static_cast<std::uint64_t>(sqlite3_column_int64(row, 2));
    upload.size = static_cast<std::uint64_t>(sqlite3_column_int64(row, 3));
    std::string existing = text_at(row, 4);
    if (!existing.empty()) upload.existing = DataId(std::move(existing));
    upload.begun = from_ms(sqlite3_column_int64(row, 5));
    Result<void> done = impl.load_parts(sqlite3_column_int64(row, 0), upload);
    if (done) out = std::move(upload);
    return done;
  });
  return out;
}

Result<void> UploadLog::Impl::load_parts(std::int64_t id, JournalledUpload& upload) {
  Result<Statement> rows = file->prepare(
      "SELECT number, etag, sha256 FROM upload_part WHERE upload = ?1 ORDER BY number");
  if (!rows) return std::move(rows).error();
  set_number(rows->get(), 1, id);
  int code = SQLITE_ROW;
  while ((code = sqlite3_step(rows->get())) == SQLITE_ROW) {
    JournalledPart part;
    part.number = static_cast<std::uint32_t>(sqlite3_column_int64(rows->get(), 0));
    part.etag = text_at(rows->get(), 1);
    part.sha256 = text_at(rows->get(), 2);
    upload.parts.push_back(std::move(part));
  }
  if (code != SQLITE_DONE) return file->error(code);
  return {};
}

void UploadLog::begin(const UploadKey& key, const JournalledUpload& upload) {
  attempt([&](Impl& impl) {
    return impl.file->transact([&]() -> Result<void> {
      Result<void> done = impl.remove(kWhereKey, key, "");
      if (!done) return done;
      Result<Statement> statement = impl.file->prepare(
          "INSERT INTO upload (server, domain, name, data_type, upload_id, part_size, size,"
          " existing_id, begun_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)");
      if (!statement) return std::move(statement).error();
      sqlite3_stmt* const insert = statement->get();
      const std::string existing = upload.existing ? upload.existing->str() : "";
      set_key(insert, key);
      set_text(insert, 5, upload.upload_id);
      set_number(insert, 6, static_cast<std::int64_t>(upload.part_size));
      set_number(insert, 7, static_cast<std::int64_t>(upload.size));
      set_text(insert, 8, existing);
      set_number(insert, 9, to_ms(upload.begun));
      return impl.file->step(insert);
    });
  });
}

void UploadLog::part(const UploadKey& key,
                     const std::string& upload_id,
                     const JournalledPart& part) {
  attempt([&](Impl& impl) -> Result<void> {
    Result<Statement> statement = impl.file->prepare(
        std::string("INSERT OR REPLACE INTO upload_part (upload, number, etag, sha256)"
                    " SELECT id, ?6, ?7, ?8 FROM upload") +
        kWhereKey + " AND upload_id = ?5");
    if (!statement) return std::move(statement).error();
    sqlite3_stmt* const insert = statement->get();
    set_key(insert, key);
    set_text(insert, 5, upload_id);
    set_number(insert, 6, part.number);
    set_text(insert, 7, part.etag);
    set_text(insert, 8, part.sha256);
    return impl.file->step(insert);
  });
}

void UploadLog::end(const UploadKey& key, const std::string& upload_id) {
  attempt([&](Impl& impl) {
    return impl.file->transact([&] {
      return impl.remove(std::string(kWhereKey) + " AND upload_id = ?5", key, upload_id);
    });
  });
}

void UploadLog::expire(SystemTime before) {
  attempt([&](Impl& impl) {
    return impl.file->transact([&] {
      Result<void> done = impl.file->execute("DELETE FROM upload WHERE begun_ms < " +
                                             std::to_string(to_ms(before)));
      if (done) done = impl.file->execute(Impl::kRemoveLoose);
      return done;
    });
  });
}

}  // namespace pn::node
