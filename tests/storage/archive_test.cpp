#include "storage/archive.hpp"

#include "base/result.hpp"
#include "storage/archive_error.hpp"
#include "tests/support/temp_folder.hpp"

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <archive.h>
#include <archive_entry.h>
#include <catch2/catch.hpp>
#include <locale.h>

namespace pn::storage {
namespace {

using testing::TempFolder;
namespace fs = std::filesystem;

struct Made {
  std::string name;
  std::string bytes;
  unsigned type = AE_IFREG;
  std::string link{};
  bool hard = false;
};

/// This thread's, as a machine that people sit at has it.
struct Utf8Locale {
  Utf8Locale() : utf8(::newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr)), before(::uselocale(utf8)) {}
  ~Utf8Locale() {
    ::uselocale(before);
    ::freelocale(utf8);
  }
  Utf8Locale(const Utf8Locale&) = delete;
  Utf8Locale& operator=(const Utf8Locale&) = delete;
  locale_t utf8;
  locale_t before;
};

/// Archives that no honest program writes are made with libarchive too.
fs::path make(const TempFolder& folder, const std::string& name, const std::vector<Made>& entries) {
  const fs::path path = folder.path / name;
  archive* out = archive_write_new();
  if (name.ends_with(".zip")) {
    archive_write_set_format_zip(out);
  } else {
    archive_write_set_format_pax_restricted(out);
    if (name.ends_with(".gz")) archive_write_add_filter_gzip(out);
    if (name.ends_with(".xz")) archive_write_add_filter_xz(out);
    if (name.ends_with(".zst")) archive_write_add_filter_zstd(out);
  }
  REQUIRE(archive_write_open_filename(out, path.c_str()) == ARCHIVE_OK);
  for (const Made& made : entries) {
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, made.name.c_str());
    archive_entry_set_filetype(entry, made.type);
    archive_entry_set_perm(entry, 07777);
    if (made.type == AE_IFREG && !made.hard) {
      archive_entry_set_size(entry, static_cast<la_int64_t>(made.bytes.size()));
    }
    if (made.hard) archive_entry_set_hardlink(entry, made.link.c_str());
    if (made.type == AE_IFLNK) archive_entry_set_symlink(entry, made.link.c_str());
    REQUIRE(archive_write_header(out, entry) >= ARCHIVE_WARN);
    if (!made.bytes.empty()) archive_write_data(out, made.bytes.data(), made.bytes.size());
    archive_entry_free(entry);
  }
  archive_write_close(out);
  archive_write_free(out);
  return path;
}

Result<Extracted> unpack(const TempFolder& folder,
                         const fs::path& archive,
                         ExtractLimits limits = {}) {
  const std::atomic<bool> stop{false};
  return extract(archive, folder.path / "out", limits, stop);
}

/// The archive itself, and nothing of it.
void check_untouched(const TempFolder& folder) { CHECK(folder.listing().size() == 1); }

}  // namespace

TEST_CASE("archive: unpacks what photos come in", "[storage][archive]") {
  const std::string name =
      GENERATE(as<std::string>(), "a.zip", "a.tar", "a.tar.gz", "a.tar.xz", "a.tar.zst");
  const TempFolder folder;
  const std::string big(300'000, 'b');
  const fs::path archive = make(
      folder, name, {{"dir/", "", AE_IFDIR}, {"dir/b.jpg", big}, {"./a.jpg", "aaa"}, {"e", ""}});
  const auto done = unpack(folder, archive);
  INFO(name << (done.ok() ? "" : to_string(done.error())));
  REQUIRE(done.ok());
  const fs::path out = folder.path / "out";
  CHECK(done->files == std::vector<fs::path>{out / "dir/b.jpg", out / "a.jpg", out / "e"});
  CHECK(done->bytes == 300'003);
  CHECK(TempFolder::read(out / "dir/b.jpg") == big);
  CHECK(TempFolder::read(out / "a.jpg") == "aaa");
  CHECK((fs::status(out / "a.jpg").permissions() & fs::perms::set_uid) == fs::perms::none);
  CHECK((fs::status(out / "a.jpg").permissions() & fs::perms::owner_exec) == fs::perms::none);
}

TEST_CASE("archive: names that are not ASCII", "[storage][archive]") {
  const std::string archive_name = GENERATE(as<std::string>(), "a.zip", "a.tar", "a.tar.gz");
  const std::string photo = "K\u00f6ln/\u65e5\u672c \U0001f600.jpg";
  const TempFolder folder;
  fs::path archive;
  {
    const Utf8Locale utf8;  // else the maker of these archives cannot write the names either
    archive = make(folder, archive_name, {{"K\u00f6ln/", "", AE_IFDIR}, {photo, "pp"}});
  }
  const auto done = unpack(folder, archive);
  INFO(archive_name << (done.ok() ? "" : ": " + to_string(done.error())));
  REQUIRE(done.ok());
  CHECK(done->files == std::vector<fs::path>{folder.path / "out" / photo});
  CHECK(TempFolder::read(folder.path / "out" / photo) == "pp");
  // The program's own locale is as it was.
  CHECK(std::string(::setlocale(LC_CTYPE, nullptr)) == "C");
  CHECK(::uselocale(nullptr) == LC_GLOBAL_LOCALE);
}

TEST_CASE("archive: names in an encoding that nobody told", "[storage][archive]") {
  const std::string latin1 = "K\xf6ln.jpg";
  const TempFolder folder;
  SECTION("are kept as they are") {
    const std::string archive_name = GENERATE(as<std::string>(), "a.zip", "a.tar");
    const auto done = unpack(folder, make(folder, archive_name, {{latin1, "k"}}));
    INFO(archive_name << (done.ok() ? "" : ": " + to_string(done.error())));
    REQUIRE(done.ok());
    CHECK(done->files == std::vector<fs::path>{folder.path / "out" / latin1});
  }
  SECTION("are made up where the archive claims that they are UTF-8") {
    fs::path archive;
    {
      const Utf8Locale utf8;
      archive = make(folder, "a.zip", {{"a.jpg", "a"}, {"K\u00f6ln.jpg", "k"}});
    }
    std::string bytes = TempFolder::read(archive);
    const std::string right = "\xc3\xb6";
    for (auto at = bytes.find(right); at != std::string::npos; at = bytes.find(right)) {
      bytes.replace(at, 2, "\xf6\xf6");
    }
    const auto done = unpack(folder, folder.write("a.zip", bytes));
    INFO((done.ok() ? "" : to_string(done.error())));
    REQUIRE(done.ok());
    const fs::path out = folder.path / "out";
    CHECK(done->files == std::vector<fs::path>{out / "a.jpg", out / "entry-2"});
  }
}

TEST_CASE("archive: nothing leaves the folder", "[storage][archive]") {
  const std::vector<Made> good{{"good", "g"}};
  const auto [what, bad, code] = GENERATE(table<const char*, Made, const char*>({
      {"absolute", Made{"/tmp/pn-evil", "x"}, "archive_path"},
      {"parent", Made{"../evil", "x"}, "archive_path"},
      {"parent inside", Made{"a/../../evil", "x"}, "archive_path"},
      {"parent at the end", Made{"a/..", "", AE_IFDIR}, "archive_path"},
      {"backslash", Made{"..\\evil", "x"}, "archive_path"},
      {"too deep", Made{"1/2/3/4/5/6/7/8/9/0/1/2/3/4/5/6/7", "x"}, "archive_path"},
      {"symlink out", Made{"l", "", AE_IFLNK, "/etc"}, "archive_link"},
      {"symlink in", Made{"l", "", AE_IFLNK, "good"}, "archive_link"},
      {"hardlink", Made{"l", "", AE_IFREG, "/etc/passwd", true}, "archive_link"},
      {"device", Made{"d", "", AE_IFCHR}, "archive_type"},
      {"pipe", Made{"d", "", AE_IFIFO}, "archive_type"},
      {"twice", Made{"good", "other"}, "archive_duplicate"},
      {"file as folder", Made{"good/x", "other"}, "archive_duplicate"},
  }));
  const TempFolder folder;
  const fs::path archive = make(folder, "a.tar", {good.front(), bad, {"after", "x"}});
  const auto done = unpack(folder, archive);
  INFO(what << (done.ok() ? "" : ": " + to_string(done.error())));
  REQUIRE_FALSE(done.ok());
  CHECK(done.error().kind == ErrorKind::rejected);
  CHECK(done.error().code == code);
  check_untouched(folder);
  CHECK_FALSE(fs::exists(folder.path.parent_path() / "evil"));
  CHECK_FALSE(fs::exists("/tmp/pn-evil"));
}

TEST_CASE("archive: what is damaged or no archive is said so", "[storage][archive]") {
  const TempFolder folder;
  SECTION("no archive") {
    const auto done = unpack(folder, folder.write("a.zip", "just some text, long enough to read"));
    REQUIRE_FALSE(done.ok());
    CHECK(done.error().kind == ErrorKind::corrupt);
    CHECK(done.error().code == "archive_damaged");
    CHECK_THAT(done.error().detail, Catch::StartsWith("a.zip: "));
  }
  SECTION("cut") {
    std::string noise(100'000, '\0');
    std::uint32_t state = 1;
    for (char& c : noise) c = static_cast<char>((state = state * 1664525U + 1013904223U) >> 24U);
    const std::string name = GENERATE(as<std::string>(), "a.zip", "a.tar", "a.tar.gz", "a.tar.xz");
    const fs::path archive = make(folder, name, {{"a", noise}, {"b", noise}});
    fs::resize_file(archive, fs::file_size(archive) / 2);
    const auto done = unpack(folder, archive);
    INFO(name);
    REQUIRE_FALSE(done.ok());
    CHECK(done.error().kind == ErrorKind::corrupt);
  }
  SECTION("missing") {
    const auto done = unpack(folder, folder.path / "none.zip");
    REQUIRE_FALSE(done.ok());
    CHECK(done.error().kind == ErrorKind::not_found);
    folder.write("x", "");
  }
  check_untouched(folder);
}

TEST_CASE("archive: stops when told", "[storage][archive]") {
  const TempFolder folder;
  const fs::path archive = make(folder, "a.tar", {{"a", "1"}});
  const std::atomic<bool> stop{true};
  const auto done = extract(archive, folder.path / "out", {}, stop);
  REQUIRE_FALSE(done.ok());
  CHECK(done.error().code == "stopped");
  check_untouched(folder);
}

TEST_CASE("archive: a folder that was there stays, with what was in it", "[storage][archive]") {
  const TempFolder folder;
  folder.write("out/mine", "m");
  const fs::path archive = make(folder, "a.tar", {{"new", "n"}, {"mine", "x"}});
  CHECK(unpack(folder, archive).error().code == "archive_duplicate");
  CHECK(folder.listing() == std::vector<std::string>{"a.tar", "out", "out/mine"});
  CHECK(TempFolder::read(folder.path / "out/mine") == "m");
}

TEST_CASE("from_archive: numbers become kinds", "[storage][archive]") {
  CHECK(from_archive(ENOSPC, "x", "a.zip").kind == ErrorKind::full);
  CHECK(from_archive(ENOENT, "x", "a.zip").kind == ErrorKind::not_found);
  CHECK(from_archive(ENOMEM, "x", "a.zip").kind == ErrorKind::internal);
  CHECK(from_archive(EINVAL, "INTERNAL ERROR: Function", "a").kind == ErrorKind::internal);
  CHECK(from_archive(EINVAL, "Damaged tar archive", "a.tar").kind == ErrorKind::corrupt);
  CHECK(from_archive(EILSEQ, "bad", "a.zip") ==
        Error(ErrorKind::corrupt, "archive_damaged", "a.zip: bad"));
  CHECK(from_archive(-1, "", "a.zip").detail == "a.zip: it cannot be read");
}

}  // namespace pn::storage
