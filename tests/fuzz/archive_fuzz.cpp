#include "base/file.hpp"
#include "base/result.hpp"
#include "storage/archive.hpp"
#include "storage/archive_write.hpp"
#include "tests/fuzz/fuzz.hpp"
#include "tests/support/temp_folder.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

// First byte: what the input is called, or that its lines are names of files to be packed. The
// rest: the archive.
namespace pn::storage {
namespace {

using fuzz::require;
namespace fs = std::filesystem;

constexpr std::array kNames{"a.zip", "a.tar", "a.gz", "a.xz", "a.zst", "a.tar.gz"};
// Of names, which xz and zstd know none of: their 30 MiB would take half of the time.
constexpr std::array kFormats{
    ArchiveFormat::zip_stored, ArchiveFormat::zip, ArchiveFormat::tar, ArchiveFormat::tar_gz};
constexpr ExtractLimits kLimits{
    .max_entries = 40, .max_bytes = 256 * 1024, .max_ratio = 200, .max_depth = kArchiveDepth};

/// Kept from run to run, and gone at the end.
const fs::path& folder() {
  static const testing::TempFolder made(
      "pn-fuzz-", fs::exists("/dev/shm") ? fs::path("/dev/shm") : fs::temp_directory_path());
  return made.path;
}

void put(const fs::path& path, std::string_view bytes) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out << bytes;
}

/// Unpacks it, and looks at all that is there then.
std::optional<Extracted> unpack(const fs::path& archive) {
  const std::atomic<bool> stop{false};
  const fs::path out = folder() / "out";
  const Result<Extracted> done = extract(archive, out, kLimits, stop);
  std::size_t beside = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator(folder())) ++beside;
  if (!done.ok()) {
    require(!fs::exists(fs::symlink_status(out)), "nothing stays of a bad archive");
    require(beside <= 2, "nothing is made beside the folder");  // the archive, and what was packed
    require(done.error().kind == ErrorKind::rejected || done.error().kind == ErrorKind::corrupt,
            "a bad archive is the archive's fault");
    return std::nullopt;
  }
  require(beside <= 3, "nothing is made beside the folder");
  std::set<fs::path> promised(done->files.begin(), done->files.end());
  require(promised.size() == done->files.size(), "each file is told once");
  require(promised.size() <= kLimits.max_entries, "no more entries than allowed");
  std::uint64_t bytes = 0;
  for (const auto& entry : fs::recursive_directory_iterator(out)) {
    const fs::file_type type = entry.symlink_status().type();
    if (type == fs::file_type::directory) continue;
    require(type == fs::file_type::regular, "only files and folders are made");
    require(promised.erase(entry.path()) == 1, "each file that is made is told");
    require(entry.hard_link_count() == 1, "nothing is linked");
    require((entry.status().permissions() & (fs::perms::set_uid | fs::perms::owner_exec)) ==
                fs::perms::none,
            "modes are plain");
    bytes += entry.file_size();
  }
  require(promised.empty(), "each file that is told is there");
  require(bytes == done->bytes && bytes <= kLimits.max_bytes, "no more bytes than allowed");
  std::error_code ignored;
  fs::remove_all(out, ignored);
  return *done;
}

/// Each line is a name. What is packed can be unpacked, in each format.
void check_packed(std::string_view text, unsigned choice) {
  const fs::path file = folder() / "packed";
  put(file, text);
  std::vector<ArchiveEntry> entries;
  fuzz::Input lines(reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
  while (!lines.rest().empty() && entries.size() < 8) {
    const std::string line(lines.line());
    if (line.find('\0') != std::string::npos) return;  // no file has such a name
    entries.push_back({line, file});
  }
  const fs::path archive = folder() / "made";
  const std::atomic<bool> stop{false};
  const Result<void> done =
      write_archive(archive, kFormats.at(choice % kFormats.size()), entries, stop);
  if (done.ok()) {
    const std::optional<Extracted> unpacked = unpack(archive);
    // A zip of nothing is a zip, a tar of nothing is nothing.
    if (!entries.empty()) {
      require(unpacked.has_value(), "what is packed can be unpacked");
      require(unpacked->files.size() == entries.size(), "all of it");
      require(unpacked->bytes == entries.size() * text.size(), "whole");
    }
  } else {
    require(done.error().kind == ErrorKind::rejected, "only names are refused");
    require(!fs::exists(archive), "nothing is left of an archive that was not made");
  }
  fs::remove(archive);
  fs::remove(file);
}

}  // namespace
}  // namespace pn::storage

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace pn::storage;
  pn::fuzz::Input input(data, size);
  const unsigned choice = input.byte();
  if (choice % 8 == 7) {
    check_packed(input.rest(), choice / 8);
    return 0;
  }
  const std::filesystem::path archive = folder() / kNames.at(choice % kNames.size());
  put(archive, input.rest());
  unpack(archive);
  std::filesystem::remove(archive);
  return 0;
}
