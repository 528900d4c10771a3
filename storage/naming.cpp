#include "storage/naming.hpp"

#include "base/digest.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "storage/ports.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace pn::storage {
namespace {

constexpr std::size_t kDigestDigits = 8;
constexpr std::size_t kFileDigestDigits = 12;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool is_plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '_' || c == '-';
}

bool continues_character(char c) { return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U; }

std::string_view file_name(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

/// Lower case, without the dot; empty for "name", ".name" and "name.".
std::string extension(std::string_view path) {
  const std::string_view file = file_name(path);
  const std::size_t dot = file.rfind('.');
  if (dot == std::string_view::npos || dot == 0) return {};
  std::string out(file.substr(dot + 1));
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

/// "YYYY-MM-DD[_-]HH-MM-SS" where it first stands in `name`.
std::optional<std::string_view> timestamp(std::string_view name) {
  constexpr std::string_view kShape = "dddd-dd-dd_dd-dd-dd";
  for (std::size_t at = 0; at + kShape.size() <= name.size(); ++at) {
    const std::string_view here = name.substr(at, kShape.size());
    bool fits = true;
    for (std::size_t i = 0; i < kShape.size() && fits; ++i) {
      const char want = kShape[i];
      const char c = here[i];
      fits = want == 'd' ? is_digit(c) : c == '-' || (want == '_' && c == '_');
    }
    if (fits) return here;
  }
  return std::nullopt;
}

struct TypeRow {
  std::string_view extension;
  std::string_view type;
};
// NOLINTBEGIN(modernize-use-designated-initializers): tables
constexpr std::array<TypeRow, 7> kTypes{{{"json", "json"},
                                         {"ply", "ply"},
                                         {"drc", "ply_draco"},
                                         {"glb", "glb"},
                                         {"obj", "obj"},
                                         {"csv", "csv"},
                                         {"mp4", "mp4"}}};
constexpr std::array<TypeRow, 6> kFileTypes{{{"jpg", "image_jpg"},
                                             {"jpeg", "image_jpeg"},
                                             {"png", "image_png"},
                                             {"pgm", "image_pgm"},
                                             {"zip", "zip"},
                                             {"tar", "tar"}}};
// NOLINTEND(modernize-use-designated-initializers)

std::string digest_digits(std::string_view text, std::size_t digits) {
  return sha256_hex(text).substr(0, digits);
}

}  // namespace

std::string_view without_slashes(std::string_view text) {
  while (text.starts_with('/')) text.remove_prefix(1);
  while (text.ends_with('/')) text.remove_suffix(1);
  return text;
}

std::string sanitize(std::string_view text, std::string_view when_empty) {
  std::string out;
  for (const char c : text) {
    if (is_plain(c)) {
      out += c;
    } else if (!continues_character(c)) {
      out += '_';
    }
  }
  return out.empty() ? std::string(when_empty) : out;
}

bool is_data_name(std::string_view text) {
  return !text.empty() && text.size() <= kNameLimit && text.find('/') == std::string_view::npos &&
         std::ranges::none_of(text, [](char c) { return c >= 0 && c < 0x20; });
}

Result<void> check_name(std::string_view what, std::string_view text) {
  if (is_data_name(text)) return {};
  return Error(ErrorKind::rejected,
               "data_name",
               "the " + std::string(what) + " must be " + std::string(kNameRule));
}

std::filesystem::path download_path(std::string_view name, std::string_view data_type) {
  const std::string type = sanitize(data_type, "part").substr(0, kNameLimit);
  std::string stem = sanitize(name, "part");
  stem.resize(std::min(stem.size(), kFileNameLimit - 1 - type.size()));
  std::string scan = sanitize(timestamp(name).value_or(name), "part");
  scan.resize(std::min(scan.size(), kFileNameLimit));
  return std::filesystem::path("datasets") / scan / (stem + "." + type);
}

std::string artifact_data_type(std::string_view path) {
  const std::string ext = extension(path);
  if (ext.empty()) return "binary";
  for (const TypeRow& row : kTypes) {
    if (row.extension == ext) return std::string(row.type);
  }
  constexpr std::string_view kSuffix = "_data";
  return sanitize(ext, "").substr(0, kNameLimit - kSuffix.size()) + std::string(kSuffix);
}

std::string file_data_type(std::string_view path) {
  const std::string ext = extension(path);
  for (const TypeRow& row : kFileTypes) {
    if (row.extension == ext) return std::string(row.type);
  }
  return artifact_data_type(path);
}

std::string file_data_name(std::string_view path, std::string_view sha256_hex) {
  std::string_view stem = file_name(path);
  const std::size_t dot = stem.rfind('.');
  if (dot != std::string_view::npos && dot > 0) stem = stem.substr(0, dot);
  std::string out = sanitize(stem, "file");
  out.resize(std::min(out.size(), kNameLimit - 1 - kFileDigestDigits));
  return out + "_" + std::string(sha256_hex.substr(0, kFileDigestDigits));
}

ArtifactNames::ArtifactNames(const TaskId& task, std::string_view outputs_prefix)
    : task_(task.str()), prefix_(without_slashes(outputs_prefix)) {}

Result<ArtifactName> ArtifactNames::name(std::string_view rel_path, const PutOptions& options) {
  if (without_slashes(rel_path).empty()) {
    return Error(ErrorKind::rejected, "artifact_path", "an artifact needs a path such as a/b.ply");
  }
  ArtifactName out;
  out.logical_path =
      prefix_.empty() ? std::string(rel_path) : prefix_ + "/" + std::string(rel_path);
  out.data_type = options.data_type.empty() ? artifact_data_type(rel_path) : options.data_type;
  const Result<void> type_checked = check_name("data type of " + out.logical_path, out.data_type);
  if (!type_checked.ok()) return type_checked.error();
  if (!options.name.empty()) {
    out.name = options.name;
    const Result<void> checked = check_name("name of " + out.logical_path, out.name);
    if (!checked.ok()) return checked.error();
    // The runner's choice stands, even where it names one item twice: it asked for that one.
    return out;
  }

  const Pair key(out.logical_path, out.data_type);
  const auto known = given_.find(key);
  if (known != given_.end()) return known->second;
  std::string stem = sanitize(out.logical_path, "artifact");
  out.name = stem + "_" + task_;
  if (out.name.size() > kNameLimit || taken_.contains({out.name, out.data_type})) {
    const std::string tail = "_" + digest_digits(out.logical_path, kDigestDigits) + "_" + task_;
    if (tail.size() >= kNameLimit)
      return check_name("task id", std::string(kNameLimit + 1, 'x')).error();
    stem.resize(std::min(stem.size(), kNameLimit - tail.size()));
    out.name = stem + tail;
  }
  taken_.emplace(out.name, out.data_type);
  given_.emplace(key, out);
  return out;
}

}  // namespace pn::storage
