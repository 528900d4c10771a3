#include "runners/sfm/photos.hpp"

#include "base/file.hpp"
#include "base/result.hpp"
#include "runners/sfm/image_io.hpp"
#include "storage/archive.hpp"
#include "storage/ports.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cctype>
#include <cstddef>
#include <filesystem>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace pn::runners::sfm {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kLongestName = 100;

std::string_view extension_of(PhotoFormat format) {
  switch (format) {
    case PhotoFormat::jpeg:
      return ".jpg";
    case PhotoFormat::png:
      return ".png";
    case PhotoFormat::pnm:
      return ".pgm";
  }
  return "";
}

/// COLMAP and FreeImage choose their decoder by the content, but some tools that read the model go
/// by the name; a data item's name need not have an extension.
bool has_extension(const std::string& name, PhotoFormat format) {
  std::string extension = fs::path(name).extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(), [](unsigned char c) {
    return static_cast<char>(std::tolower(c));
  });
  switch (format) {
    case PhotoFormat::jpeg:
      return extension == ".jpg" || extension == ".jpeg";
    case PhotoFormat::png:
      return extension == ".png";
    case PhotoFormat::pnm:
      return extension == ".pgm" || extension == ".ppm" || extension == ".pnm";
  }
  return false;
}

bool continues_character(char c) { return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U; }

/// By its shape: what has it by chance is rare, and only a name.
bool is_utf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const auto lead = static_cast<unsigned char>(text[at++]);
    if (lead < 0x80) continue;
    if (lead < 0xC2 || lead > 0xF4) return false;
    for (int left = lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3; left > 0; --left, ++at) {
      if (at == text.size() || !continues_character(text[at])) return false;
    }
  }
  return true;
}

/// Spaces would split COLMAP's text files, slashes would be folders, and bytes of another encoding
/// than UTF-8 (old zips have them) would be lost in our JSON.
std::string safe_name(std::string_view name) {
  const bool utf8 = is_utf8(name);
  name.remove_prefix(name.size() - std::min(name.size(), kLongestName));
  while (utf8 && !name.empty() && continues_character(name.front())) name.remove_prefix(1);
  std::string out;
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain =
        byte < 0x80 ? std::isalnum(byte) != 0 || c == '.' || c == '-' || c == '_' : utf8;
    out += plain ? c : '_';
  }
  while (!out.empty() && out.front() == '.') out.erase(0, 1);
  return out.empty() ? "photo" : out;
}

class Collector {
 public:
  Collector(fs::path folder, const std::atomic<bool>& stop) : stop_(stop) {
    set_.folder = std::move(folder);
  }

  Result<void> add_input(const storage::InputFile& input) {
    const std::string name = input.name.empty() ? input.path.filename().string() : input.name;
    if (is_archive(input.path)) return add_archive(input.path, name);
    const Result<PhotoInfo> info = probe_photo(input.path);
    if (!info && info.error().code == "no_photo") {
      set_.warnings.push_back("input " + name + " is no photo and was left out");
      return {};
    }
    return add(input.path, name, info);
  }

  Result<PhotoSet> finish() && {
    const std::string broken =
        set_.unreadable.empty() ? "" : "; unreadable: " + set_.warnings.back();
    if (set_.photos.empty()) {
      return Error(ErrorKind::rejected,
                   "no_photos",
                   "the inputs hold no photo (JPEG, PNG, PGM, or a zip or tar of them)" + broken);
    }
    if (set_.photos.size() < kFewestPhotos) {
      return Error(ErrorKind::rejected,
                   "too_few_photos",
                   "a reconstruction takes at least " + std::to_string(kFewestPhotos) +
                       " photos that overlap, the inputs hold " +
                       std::to_string(set_.photos.size()) + broken);
    }
    std::sort(set_.photos.begin(), set_.photos.end(), [](const Photo& a, const Photo& b) {
      return a.name < b.name;
    });
    return std::move(set_);
  }

 private:
  /// By the first bytes: zip, gzip, xz, bzip2, zstd, or tar's mark at 257.
  static bool is_archive(const fs::path& path) {
    const Result<UniqueFd> fd = open_read(path);
    if (!fd) return false;
    std::array<char, 512> buffer{};
    const Result<std::size_t> got = read_some(fd->get(), buffer);
    if (!got) return false;
    const std::string_view head(buffer.data(), *got);
    using namespace std::string_view_literals;
    return head.starts_with("PK\x03\x04"sv) || head.starts_with("\x1f\x8b"sv) ||
           head.starts_with("\xfd\x37zXZ"sv) || head.starts_with("BZh"sv) ||
           head.starts_with("\x28\xb5\x2f\xfd"sv) ||
           (head.size() > 262 && head.substr(257, 5) == "ustar"sv);
  }

  Result<void> add_archive(const fs::path& archive, const std::string& name) {
    const fs::path folder = set_.folder.parent_path() / ("unpacked" + std::to_string(archives_++));
    Result<void> made = make_folders(folder, 0700);
    if (!made) return made;
    Result<storage::Extracted> unpacked =
        storage::extract(archive, folder, storage::ExtractLimits(), stop_);
    if (!unpacked) {
      Error error = within(name, std::move(unpacked).error());
      if (error.kind == ErrorKind::corrupt || error.kind == ErrorKind::rejected) {
        error = Error(ErrorKind::rejected, "bad_archive", error.detail);
      }
      return error;
    }
    std::vector<fs::path>& files = unpacked->files;
    std::sort(files.begin(), files.end());
    for (const fs::path& file : files) {
      // "._x.jpg" holds what macOS knows about x.jpg.
      if (file.filename().string().starts_with(".")) continue;
      const Result<PhotoInfo> info = probe_photo(file);
      if (!info && info.error().code == "no_photo") continue;
      const Result<void> added = add(file, file.filename().string(), info);
      if (!added) return added;
    }
    return {};
  }

  Result<void> add(const fs::path& file, const std::string& given, const Result<PhotoInfo>& info) {
    if (stop_) return Error(ErrorKind::retry, "stopped", "stopped on request");
    if (!info) {
      if (info.error().code != "bad_photo") return info.error();
      set_.unreadable.push_back(given);
      set_.warnings.push_back("photo " + given + " cannot be read: " + info.error().detail);
      return {};
    }
    std::string name = safe_name(given);
    if (!has_extension(name, info->format)) name += extension_of(info->format);
    const fs::path as_path(name);
    for (int copy = 2; !names_.insert(name).second; ++copy) {
      name = as_path.stem().string() + "_" + std::to_string(copy) + as_path.extension().string();
    }
    std::error_code failed;
    fs::create_hard_link(file, set_.folder / name, failed);
    if (failed) fs::copy_file(file, set_.folder / name, failed);
    if (failed) return from_errno(failed.value(), "cannot place photo " + name);
    set_.photos.push_back({name, *info});
    return {};
  }

  const std::atomic<bool>& stop_;
  PhotoSet set_;
  std::set<std::string> names_;
  int archives_ = 0;
};

}  // namespace

bool PhotoSet::one_size() const {
  return std::all_of(photos.begin(), photos.end(), [&](const Photo& photo) {
    return photo.info.width == photos.front().info.width &&
           photo.info.height == photos.front().info.height;
  });
}

Result<PhotoSet> collect_photos(const std::vector<storage::InputFile>& inputs,
                                const fs::path& folder,
                                const std::atomic<bool>& stop) {
  Result<void> made = make_folders(folder, 0700);
  if (!made) return made.error();
  Collector collector(folder, stop);
  for (const storage::InputFile& input : inputs) {
    const Result<void> added = collector.add_input(input);
    if (!added) return added.error();
  }
  return std::move(collector).finish();
}

}  // namespace pn::runners::sfm
