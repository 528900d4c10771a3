#include "storage/archive_write.hpp"

#include "base/result.hpp"
#include "storage/archive.hpp"
#include "tests/support/child.hpp"
#include "tests/support/temp_folder.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>
#include <sys/resource.h>
#include <unistd.h>

namespace pn::storage {
namespace {

using testing::Child;
using testing::TempFolder;
namespace fs = std::filesystem;

struct Way {
  const char* name;
  ArchiveFormat format;
};
constexpr Way kArchives[] = {{"a.zip", ArchiveFormat::zip_stored},
                             {"deflated.zip", ArchiveFormat::zip},
                             {"a.tar", ArchiveFormat::tar},
                             {"a.tar.gz", ArchiveFormat::tar_gz},
                             {"a.tar.xz", ArchiveFormat::tar_xz},
                             {"a.tar.zst", ArchiveFormat::tar_zst}};
constexpr Way kPacked[] = {{"scan.csv.gz", ArchiveFormat::gz},
                           {"scan.csv.xz", ArchiveFormat::xz},
                           {"scan.csv.zst", ArchiveFormat::zst}};

/// Bytes that do not pack.
std::string noise(std::size_t count) {
  std::string out(count, '\0');
  std::uint32_t state = 7;
  for (char& c : out) c = static_cast<char>((state = state * 1664525U + 1013904223U) >> 24U);
  return out;
}

struct Subject {
  TempFolder folder;
  std::vector<ArchiveEntry> entries;
  std::vector<std::pair<std::string, std::string>> content;
  std::atomic<bool> stop{false};

  void add(const std::string& name, const std::string& bytes) {
    entries.push_back({name, folder.write("from/" + std::to_string(entries.size()), bytes)});
    content.emplace_back(name, bytes);
  }
  void add_usual() {
    add("images.bin", noise(700'001));
    add("a/portals.csv", "1,2\n");
    add("empty", "");
    add("a/b/zeros", std::string(300'000, '\0'));
    add("K\u00f6ln/\u65e5\u672c \U0001f600.jpg", "photo");
    add("long/" + std::string(200, 'n'), "l");
  }
  Result<void> write(const Way& way) {
    return write_archive(folder.path / way.name, way.format, entries, stop);
  }
  [[nodiscard]] std::string bytes_of(const Way& way) const {
    return TempFolder::read(folder.path / way.name);
  }
  [[nodiscard]] Result<Extracted> unpack(const Way& way) const {
    return extract(folder.path / way.name, folder.path / "out", {}, stop);
  }
  /// The error, and that nothing of the archive is there.
  Error refusal(const Way& way) {
    const Result<void> done = write(way);
    REQUIRE_FALSE(done.ok());
    CHECK_FALSE(fs::exists(folder.path / way.name));
    CHECK_FALSE(fs::exists(folder.path / (std::string(way.name) + ".part")));
    return done.error();
  }
  void check_unpacked(const fs::path& out) const {
    for (const auto& [name, bytes] : content) {
      INFO(name);
      CHECK((TempFolder::read(out / name) == bytes));  // not printed
    }
  }
};

/// Runs a program of the system's; false where it is not there, said once.
bool run(const std::vector<std::string>& command) {
  if (::access(command.front().c_str(), X_OK) != 0) {
    WARN("skipped: there is no " << command.front());
    return false;
  }
  Child child(command, {{"PATH", "/usr/bin:/bin"}, {"LC_ALL", "C.UTF-8"}});
  const auto result = child.wait(std::chrono::seconds(20));
  INFO(command.front() << ": " << result.out << result.err);
  CHECK(result.code == 0);
  return true;
}

}  // namespace

TEST_CASE("archive: what is written is read back, and is the same every time",
          "[storage][archive]") {
  const Way way = GENERATE(from_range(std::begin(kArchives), std::end(kArchives)));
  Subject subject;
  subject.add_usual();
  INFO(way.name);
  REQUIRE(subject.write(way).ok());
  const std::string first = subject.bytes_of(way);
  for (const ArchiveEntry& entry : subject.entries) {
    fs::last_write_time(entry.file, fs::file_time_type::clock::now() - std::chrono::hours(99));
  }
  REQUIRE(subject.write(way).ok());  // over the one that is there
  CHECK((subject.bytes_of(way) == first));
  CHECK(fs::status(subject.folder.path / way.name).type() == fs::file_type::regular);

  const auto done = subject.unpack(way);
  INFO((done.ok() ? "" : to_string(done.error())));
  REQUIRE(done.ok());
  REQUIRE(done->files.size() == subject.content.size());
  for (std::size_t i = 0; i < subject.content.size(); ++i) {
    CHECK(done->files[i] == subject.folder.path / "out" / subject.content[i].first);
  }
  subject.check_unpacked(subject.folder.path / "out");
}

TEST_CASE("archive: zeros pack where packing is asked for", "[storage][archive]") {
  Subject subject;
  subject.add("zeros", std::string(400'000, '\0'));
  for (const Way& way : kArchives) {
    INFO(way.name);
    REQUIRE(subject.write(way).ok());
    const bool plain = way.format == ArchiveFormat::zip_stored || way.format == ArchiveFormat::tar;
    CHECK((fs::file_size(subject.folder.path / way.name) > 400'000) == plain);
  }
}

TEST_CASE("archive: one packed file is written and read back", "[storage][archive]") {
  const Way way = GENERATE(from_range(std::begin(kPacked), std::end(kPacked)));
  const std::string bytes =
      GENERATE(as<std::string>(), "", "x,y\n1,2\n", std::string(900'000, 'z'));
  Subject subject;
  subject.add("ignored", bytes);
  INFO(way.name << ", " << bytes.size() << " bytes");
  REQUIRE(subject.write(way).ok());
  const auto done = subject.unpack(way);
  INFO((done.ok() ? "" : to_string(done.error())));
  REQUIRE(done.ok());
  CHECK(done->files == std::vector<fs::path>{subject.folder.path / "out/scan.csv"});
  CHECK((TempFolder::read(subject.folder.path / "out/scan.csv") == bytes));
  subject.add("second", "");
  CHECK(write_archive(subject.folder.path / "b.gz", way.format, subject.entries, subject.stop)
            .error()
            .code == "archive_entries");
}

TEST_CASE("archive: a plain file that is only called packed is no archive", "[storage][archive]") {
  const Subject subject;
  const Way way{"scan.csv.gz", ArchiveFormat::gz};
  const std::string bytes = GENERATE(as<std::string>(), "just some text, long enough", "");
  subject.folder.write(way.name, bytes);
  CHECK(subject.unpack(way).error().code == "archive_damaged");
  CHECK_FALSE(fs::exists(subject.folder.path / "out"));
}

TEST_CASE("archive: the system's own programs read what we write", "[storage][archive]") {
  Subject subject;
  subject.add_usual();
  for (const Way& way : kArchives) {
    INFO(way.name);
    REQUIRE(subject.write(way).ok());
    const std::string file = subject.folder.file(way.name);
    const fs::path out = subject.folder.path / ("out_of_" + std::string(way.name));
    fs::create_directory(out);
    if (!std::string_view(way.name).ends_with(".zip")) {
      const bool needs_program =
          way.format == ArchiveFormat::tar_xz || way.format == ArchiveFormat::tar_zst;
      const char* program = way.format == ArchiveFormat::tar_xz ? "/usr/bin/xz" : "/usr/bin/zstd";
      if (needs_program && ::access(program, X_OK) != 0) {
        WARN("skipped: tar has no " << program);
        continue;
      }
      if (run({"/bin/tar", "-xf", file, "-C", out.string()})) subject.check_unpacked(out);
      continue;
    }
    if (run({"/usr/bin/unzip", "-q", file, "-d", out.string()})) subject.check_unpacked(out);
    run({"/usr/bin/python3",
         "-c",
         "import sys, zipfile; zipfile.ZipFile(sys.argv[1]).testzip()",
         file});
  }
}

TEST_CASE("archive: what could not be unpacked is not packed", "[storage][archive]") {
  const auto [name, code] = GENERATE(table<std::string, const char*>({
      {"/absolute", "archive_path"},
      {"../out", "archive_path"},
      {"a/../../b", "archive_path"},
      {"a\\b", "archive_path"},
      {"", "archive_path"},
      {"folder/", "archive_path"},
      {"./", "archive_path"},
      {"1/2/3/4/5/6/7/8/9/0/1/2/3/4/5/6/7", "archive_path"},
      {std::string(256, 'n'), "archive_path"},
      {"latin1-\xf6", "archive_path"},
      {"there", "archive_duplicate"},
      {"./there", "archive_duplicate"},
      {"there/below", "archive_duplicate"},
      {"over", "archive_duplicate"},
  }));
  const Way way = GENERATE(from_range(std::begin(kArchives), std::end(kArchives)));
  Subject subject;
  subject.add("there", "1");
  subject.add("there-too", "2");
  subject.add("over/it", "3");
  subject.add(name, "4");
  INFO(way.name << ", " << name);
  const Error error = subject.refusal(way);
  CHECK(error.kind == ErrorKind::rejected);
  CHECK(error.code == code);
}

TEST_CASE("archive: nothing stays of one that cannot be written whole", "[storage][archive]") {
  Subject subject;
  subject.add("a", noise(3'000'000));
  const Way way = GENERATE(from_range(std::begin(kArchives), std::end(kArchives)));
  INFO(way.name);
  SECTION("a file is missing") {
    subject.entries.push_back({"b", subject.folder.path / "none"});
    CHECK(subject.refusal(way).kind == ErrorKind::not_found);
  }
  SECTION("a file is a folder") {
    subject.entries.push_back({"b", subject.folder.path});
    CHECK(subject.refusal(way).code == "file_type");
  }
  SECTION("stopped") {
    subject.stop = true;
    CHECK(subject.refusal(way).code == "stopped");
  }
  SECTION("a limit of the disk") {
    rlimit before{};
    ::getrlimit(RLIMIT_FSIZE, &before);
    const rlimit small{.rlim_cur = 1'000'000, .rlim_max = before.rlim_max};
    ::signal(SIGXFSZ, SIG_IGN);
    ::setrlimit(RLIMIT_FSIZE, &small);
    const Result<void> done = subject.write(way);
    ::setrlimit(RLIMIT_FSIZE, &before);
    REQUIRE_FALSE(done.ok());
    CHECK_THAT(done.error().detail, Catch::Contains("File too large"));
    CHECK_FALSE(fs::exists(subject.folder.path / way.name));
  }
}

TEST_CASE("archive: what a killed one left is in nobody's way", "[storage][archive]") {
  Subject subject;
  subject.add("a", "1");
  const Way way{"a.tar", ArchiveFormat::tar};
  subject.folder.write("a.tar.part", "half");
  REQUIRE(subject.write(way).ok());
  CHECK(subject.unpack(way).ok());
  CHECK_FALSE(fs::exists(subject.folder.path / "a.tar.part"));
}

TEST_CASE("archive: 100,000 entries in flat memory", "[storage][archive][.slow]") {
  const Way way = GENERATE(from_range(std::begin(kArchives), std::end(kArchives)));
  Subject subject;
  const fs::path file = subject.folder.write("one", "1234567890");
  for (int i = 0; i < 100'000; ++i) {
    subject.entries.push_back({"f" + std::to_string(i / 1000) + "/" + std::to_string(i), file});
  }
  INFO(way.name);
  rusage before{};
  ::getrusage(RUSAGE_SELF, &before);
  REQUIRE(subject.write(way).ok());
  const auto done = subject.unpack(way);
  INFO((done.ok() ? "" : to_string(done.error())));
  REQUIRE(done.ok());
  CHECK(done->files.size() == 100'000);
  CHECK(done->bytes == 1'000'000);
  rusage after{};
  ::getrusage(RUSAGE_SELF, &after);
  CHECK(after.ru_maxrss - before.ru_maxrss < 128 * 1024);  // KiB: the names, and zip's directory
}

}  // namespace pn::storage
