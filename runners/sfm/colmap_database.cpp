#include "base/result.hpp"
#include "runners/sfm/matches.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <sqlite3.h>

namespace pn::runners::sfm {
namespace {

/// COLMAP's pair_id = first * this + second.
constexpr std::int64_t kPairFactor = 2147483647;

struct Close {
  void operator()(sqlite3* db) const { sqlite3_close(db); }
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using Database = std::unique_ptr<sqlite3, Close>;
using Statement = std::unique_ptr<sqlite3_stmt, Close>;

/// COLMAP's own file, on our own disk: never the submitter's fault, whatever SQLite says.
Error from_sqlite(sqlite3* db, int code) {
  const char* text = db != nullptr ? sqlite3_errmsg(db) : sqlite3_errstr(code);
  if (code == SQLITE_FULL) {
    return {ErrorKind::full, "disk_full", std::string("COLMAP's database: ") + text};
  }
  return {ErrorKind::internal, "bad_database", std::string("COLMAP's database: ") + text};
}

Result<Database> open(const std::filesystem::path& path, int flags) {
  sqlite3* raw = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &raw, flags | SQLITE_OPEN_NOMUTEX, nullptr);
  Database db(raw);
  if (code != SQLITE_OK) return from_sqlite(db.get(), code);
  return db;
}

/// Calls `row` for each row of the answer; false from it: the row makes no sense.
Result<void> each_row(sqlite3* db,
                      const char* query,
                      const std::function<bool(sqlite3_stmt*)>& row) {
  sqlite3_stmt* raw = nullptr;
  const int prepared = sqlite3_prepare_v2(db, query, -1, &raw, nullptr);
  const Statement statement(raw);
  if (prepared != SQLITE_OK) return from_sqlite(db, prepared);
  for (;;) {
    const int code = sqlite3_step(raw);
    if (code == SQLITE_DONE) return {};
    if (code != SQLITE_ROW) return from_sqlite(db, code);
    if (!row(raw)) {
      return Error(ErrorKind::internal,
                   "bad_database",
                   std::string("COLMAP's database has a broken row: ") + query);
    }
  }
}

std::span<const std::byte> blob(sqlite3_stmt* row, int column) {
  return {static_cast<const std::byte*>(sqlite3_column_blob(row, column)),
          static_cast<std::size_t>(sqlite3_column_bytes(row, column))};
}

bool read_key_points(sqlite3_stmt* row, MatchTable& out) {
  const auto count = static_cast<std::size_t>(sqlite3_column_int64(row, 1));
  const auto columns = static_cast<std::size_t>(sqlite3_column_int64(row, 2));
  const std::span<const std::byte> data = blob(row, 3);
  if (count == 0) return true;
  if (columns < 2 || columns > 6 || data.size() != count * columns * sizeof(float)) return false;
  auto& points = out.key_points[static_cast<std::uint32_t>(sqlite3_column_int64(row, 0))];
  points.resize(count);
  for (std::size_t i = 0; i < count; ++i) {
    std::memcpy(points[i].data(), data.data() + i * columns * sizeof(float), sizeof points[i]);
  }
  return true;
}

bool read_pair(sqlite3_stmt* row, MatchTable& out) {
  const std::int64_t id = sqlite3_column_int64(row, 0);
  PairMatches pair{.first = static_cast<std::uint32_t>(id / kPairFactor),
                   .second = static_cast<std::uint32_t>(id % kPairFactor),
                   .matches = {}};
  const auto count = static_cast<std::size_t>(sqlite3_column_int64(row, 1));
  const std::span<const std::byte> data = blob(row, 2);
  if (count == 0) return true;
  if (data.size() != count * sizeof pair.matches[0]) return false;
  const auto first = out.key_points.find(pair.first);
  const auto second = out.key_points.find(pair.second);
  if (first == out.key_points.end() || second == out.key_points.end()) return false;
  if (!out.names.contains(pair.first) || !out.names.contains(pair.second)) return false;
  pair.matches.resize(count);
  std::memcpy(pair.matches.data(), data.data(), data.size());
  for (const auto& match : pair.matches) {
    if (match[0] >= first->second.size() || match[1] >= second->second.size()) return false;
  }
  out.pairs.push_back(std::move(pair));
  return true;
}

}  // namespace

Result<std::uint64_t> count_rows(const std::filesystem::path& path) {
  const Result<Database> db = open(path, SQLITE_OPEN_READONLY);
  if (!db) return db.error();
  std::uint64_t out = 0;
  for (const char* query : {"SELECT sum(rows) FROM matches", "SELECT sum(rows) FROM keypoints"}) {
    const Result<void> read = each_row(db->get(), query, [&](auto* row) {
      out += static_cast<std::uint64_t>(sqlite3_column_int64(row, 0));  // null, of none, is 0
      return true;
    });
    if (!read) return read.error();
  }
  return out;
}

Result<MatchTable> read_matches(const std::filesystem::path& path) {
  const Result<Database> db = open(path, SQLITE_OPEN_READONLY);
  if (!db) return db.error();
  MatchTable out;
  Result<void> read = each_row(db->get(), "SELECT image_id, name FROM images", [&](auto* row) {
    const auto* name = reinterpret_cast<const char*>(sqlite3_column_text(row, 1));
    if (name == nullptr) return false;
    out.names.emplace(static_cast<std::uint32_t>(sqlite3_column_int64(row, 0)), name);
    return true;
  });
  if (read) {
    read = each_row(db->get(), "SELECT image_id, rows, cols, data FROM keypoints", [&](auto* row) {
      return read_key_points(row, out);
    });
  }
  if (read) {
    read = each_row(db->get(), "SELECT pair_id, rows, data FROM matches", [&](auto* row) {
      return read_pair(row, out);
    });
  }
  if (!read) return std::move(read).error();
  return out;
}

Result<void> clear_matches(const std::filesystem::path& path) {
  const Result<Database> db = open(path, SQLITE_OPEN_READWRITE);
  if (!db) return db.error();
  const int code =
      sqlite3_exec(db->get(),
                   "BEGIN; DELETE FROM matches; DELETE FROM two_view_geometries; COMMIT;",
                   nullptr,
                   nullptr,
                   nullptr);
  if (code != SQLITE_OK) return from_sqlite(db->get(), code);
  return {};
}

std::string to_match_list(const MatchTable& table, const std::vector<PairMatches>& pairs) {
  std::string out;
  for (const PairMatches& pair : pairs) {
    out += table.names.at(pair.first) + " " + table.names.at(pair.second) + "\n";
    for (const auto& match : pair.matches) {
      out += std::to_string(match[0]) + " " + std::to_string(match[1]) + "\n";
    }
    out += "\n";
  }
  return out;
}

}  // namespace pn::runners::sfm
