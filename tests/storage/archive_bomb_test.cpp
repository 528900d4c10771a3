#include "base/result.hpp"
#include "storage/archive.hpp"
#include "storage/archive_write.hpp"
#include "tests/support/temp_folder.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include <archive.h>
#include <archive_entry.h>
#include <catch2/catch.hpp>
#include <lzma.h>
#include <sys/resource.h>

// Archives that ask for more than they should get: each is a clear error, soon, in bounded memory,
// and nothing of it stays.
namespace pn::storage {
namespace {

using testing::TempFolder;
namespace fs = std::filesystem;

std::string little_endian(std::uint64_t value, int bytes) {
  std::string out;
  for (int i = 0; i < bytes; ++i) out += static_cast<char>((value >> (8 * i)) & 0xFFU);
  return out;
}

/// A tar's header block as no honest program writes it.
std::string tar_header(const std::string& name, char type, std::uint64_t size) {
  std::string out(512, '\0');
  out.replace(0, name.size(), name);
  out.replace(100, 8, std::string("0000644\0", 8));
  char digits[13];
  std::snprintf(digits, sizeof digits, "%011llo", static_cast<unsigned long long>(size));
  out.replace(124, 12, digits, 12);
  out.replace(148, 8, 8, ' ');
  out[156] = type;
  out.replace(257, 8, std::string("ustar\00000", 8));
  unsigned sum = 0;
  for (const char c : out) sum += static_cast<unsigned char>(c);
  std::snprintf(digits, sizeof digits, "%06o", sum);
  out.replace(148, 7, digits, 7);
  return out;
}

/// A zip of one entry, packed by `method`, which says that it unpacks to `size` bytes.
std::string zip_of(std::uint16_t method, const std::string& packed, std::uint32_t size) {
  const std::string name = "a";
  const std::string facts = little_endian(method, 2) + little_endian(0, 4) /* time */ +
                            little_endian(0, 4) /* CRC */ + little_endian(packed.size(), 4) +
                            little_endian(size, 4) + little_endian(name.size(), 2) +
                            little_endian(0, 2);
  const std::string local = "PK\3\4" + little_endian(63, 2) + little_endian(0, 2) + facts + name;
  const std::string central = "PK\1\2" + little_endian(63, 2) + little_endian(63, 2) +
                              little_endian(0, 2) + facts + std::string(14, '\0') + name;
  const std::string end = "PK\5\6" + std::string(4, '\0') + little_endian(1, 2) +
                          little_endian(1, 2) + little_endian(central.size(), 4) +
                          little_endian(local.size() + packed.size(), 4) + little_endian(0, 2);
  return local + packed + central + end;
}

struct Subject {
  TempFolder folder;
  ExtractLimits limits;
  std::atomic<bool> stop{false};

  /// `from`, packed once more.
  fs::path pack(const fs::path& from, const std::string& name, ArchiveFormat format) {
    const std::vector<ArchiveEntry> entries{{from.filename().string(), from}};
    REQUIRE(write_archive(folder.path / name, format, entries, stop).ok());
    fs::remove(from);
    return folder.path / name;
  }
  /// `head`, so many zeros, `tail`.
  fs::path zeros(const std::string& name,
                 const std::string& head,
                 std::uint64_t count,
                 const std::string& tail = "") {
    const fs::path path = folder.path / name;
    std::ofstream out(path, std::ios::binary);
    out << head;
    out.seekp(static_cast<std::streamoff>(head.size() + count - 1));  // a hole
    out << '\0' << tail;
    return path;
  }
  Error refusal(const fs::path& archive) {
    rusage before{};
    ::getrusage(RUSAGE_SELF, &before);
    const auto done = extract(archive, folder.path / "out", limits, stop);
    rusage after{};
    ::getrusage(RUSAGE_SELF, &after);
    REQUIRE_FALSE(done.ok());
    INFO(to_string(done.error()));
    CHECK(folder.listing().size() == 1);                     // the archive itself
    CHECK(after.ru_maxrss - before.ru_maxrss < 160 * 1024);  // KiB
    return done.error();
  }
};

}  // namespace

TEST_CASE("archive: bombs are stopped", "[storage][archive]") {
  Subject subject;
  SECTION("ratio") {
    const fs::path archive =
        subject.pack(subject.zeros("z", "", 70'000'000), "a.zip", ArchiveFormat::zip);
    REQUIRE(fs::file_size(archive) < 200'000);
    CHECK(subject.refusal(archive).code == "archive_bomb");
  }
  SECTION("ratio of one packed file") {
    const fs::path archive =
        subject.pack(subject.zeros("z", "", 70'000'000), "z.zst", ArchiveFormat::zst);
    CHECK(subject.refusal(archive).code == "archive_bomb");
  }
  SECTION("bytes") {
    subject.limits.max_bytes = 999;
    const fs::path archive = subject.pack(
        subject.folder.write("a", std::string(1000, 'a')), "a.tar.gz", ArchiveFormat::tar_gz);
    CHECK(subject.refusal(archive).code == "archive_bytes");
  }
  SECTION("entries") {
    subject.limits.max_entries = 2;
    std::string tar;
    for (int i = 0; i < 1000; ++i) tar += tar_header(std::to_string(i), '0', 0);
    CHECK(subject.refusal(subject.folder.write("a.tar", tar)).code == "archive_entries");
  }
  SECTION("a file that is nearly all hole") {
    const fs::path path = subject.folder.path / "a.tar";
    archive* out = archive_write_new();
    archive_write_set_format_pax(out);
    REQUIRE(archive_write_open_filename(out, path.c_str()) == ARCHIVE_OK);
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, "hole");
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_size(entry, la_int64_t{1} << 40);
    archive_entry_sparse_add_entry(entry, (la_int64_t{1} << 40) - 1, 1);
    REQUIRE(archive_write_header(out, entry) == ARCHIVE_OK);
    archive_write_data(out, "x", 1);
    archive_entry_free(entry);
    archive_write_free(out);
    CHECK(subject.refusal(path).code == "archive_bomb");
  }
}

TEST_CASE("archive: what libarchive would skip for years is stopped too", "[storage][archive]") {
  Subject subject;
  SECTION("a folder that has content") {
    // 100 MiB of zeros after a folder's header (GNU's, which lists it), and a file after it.
    constexpr std::uint64_t kSize = std::uint64_t{100} * 1024 * 1024;
    const fs::path tar =
        subject.zeros("t", tar_header("folder", 'D', kSize), kSize, tar_header("file", '0', 0));
    const auto [name, format] =
        GENERATE(table<const char*, ArchiveFormat>({{"a.tar.gz", ArchiveFormat::gz},
                                                    {"a.tar.zst", ArchiveFormat::zst},
                                                    {"a.tar.xz", ArchiveFormat::xz}}));
    INFO(name);
    const fs::path archive = subject.pack(tar, name, format);
    CHECK(subject.refusal(archive).code == "archive_bomb");
  }
  SECTION("packed in packed") {
    const auto [inner, outer] = GENERATE(table<ArchiveFormat, ArchiveFormat>({
        {ArchiveFormat::gz, ArchiveFormat::gz},
        {ArchiveFormat::zst, ArchiveFormat::gz},
        {ArchiveFormat::gz, ArchiveFormat::xz},
        {ArchiveFormat::gz, ArchiveFormat::zst},
    }));
    const fs::path once = subject.pack(subject.zeros("t", "x", 100'000), "once.gz", inner);
    const fs::path twice = subject.pack(once, "twice.tar.gz", outer);
    CHECK(subject.refusal(twice).code == "archive_filters");
  }
}

TEST_CASE("archive: a dictionary of gigabytes is refused", "[storage][archive]") {
  Subject subject;
  SECTION("zstd") {
    // RFC 8878: magic, no checksum, a window of 2 GiB, one last raw block.
    const std::string frame = "\x28\xB5\x2F\xFD" + std::string(1, '\0') + "\xA8" +
                              little_endian((100U << 3U) | 1U, 3) + std::string(100, 'z');
    CHECK(subject.refusal(subject.folder.write("a.zst", frame)).code == "archive_dictionary");
  }
  SECTION("xz") {
    const fs::path archive =
        subject.pack(subject.folder.write("t", std::string(5000, 'x')), "a.xz", ArchiveFormat::xz);
    // The block's header: its size, flags, filter 0x21, one byte of properties, which is the
    // dictionary's size, padding, CRC32.
    std::string bytes = TempFolder::read(archive);
    const std::size_t size = (static_cast<unsigned char>(bytes[12]) + 1U) * 4U;
    REQUIRE(bytes[14] == '\x21');
    bytes[16] = 38;  // 2 GiB
    const std::uint32_t crc =
        lzma_crc32(reinterpret_cast<const std::uint8_t*>(bytes.data()) + 12, size - 4, 0);
    bytes.replace(12 + size - 4, 4, little_endian(crc, 4));
    CHECK(subject.refusal(subject.folder.write("a.xz", bytes)).code == "archive_dictionary");
  }
  SECTION("a zip's LZMA") {
    // Version, size of the properties, lc/lp/pb, a dictionary of 4 GiB.
    const std::string packed = little_endian(9, 2) + little_endian(5, 2) + "\x5D" +
                               little_endian(0xFFFFFFFF, 4) + std::string(20, '\0');
    const fs::path archive = subject.folder.write("a.zip", zip_of(14, packed, 1000));
    CHECK(subject.refusal(archive).code == "archive_method");
  }
  SECTION("a zip's xz and PPMd") {
    const int method = GENERATE(95, 98);
    const fs::path archive = subject.folder.write(
        "a.zip", zip_of(static_cast<std::uint16_t>(method), std::string(30, '\0'), 1000));
    CHECK(subject.refusal(archive).code == "archive_method");
  }
}

TEST_CASE("archive: stops in the midst of what is skipped", "[storage][archive]") {
  Subject subject;
  subject.stop = true;
  const fs::path tar = subject.zeros("a.tar", tar_header("folder", '5', 1'000'000), 1'000'000);
  CHECK(subject.refusal(tar).code == "stopped");
}

TEST_CASE("archive: a million tiny entries end soon", "[storage][archive][.slow]") {
  Subject subject;
  const fs::path path = subject.folder.path / "million.tar";
  {
    std::ofstream out(path, std::ios::binary);
    for (int i = 0; i < 1'000'000; ++i) out << tar_header("d/" + std::to_string(i), '0', 0);
    out << std::string(1024, '\0');
  }
  const fs::path archive = subject.pack(path, "a.tar.zst", ArchiveFormat::zst);
  const auto start = std::chrono::steady_clock::now();
  CHECK(subject.refusal(archive).code == "archive_entries");
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(60));
}

}  // namespace pn::storage
