#pragma once

#include "base/ids.hpp"
#include "base/result.hpp"
#include "storage/ports.hpp"

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>

namespace pn::storage {

/// The server's limit for a name and for a data type, in bytes.
constexpr std::size_t kNameLimit = 128;

/// Of a file, in bytes, on every file system that we may write to.
constexpr std::size_t kFileNameLimit = 255;

/// The rule for names, types and ids as a request may carry them, and how a person reads it.
bool is_data_name(std::string_view text);
constexpr std::string_view kNameRule = "1 to 128 bytes, without \"/\" and control characters";

/// The text without slashes at both ends.
std::string_view without_slashes(std::string_view text);

/// Every character (UTF-8) outside [A-Za-z0-9_-] becomes "_"; nothing becomes `when_empty`.
std::string sanitize(std::string_view text, std::string_view when_empty);

/// Kind `rejected`, code "data_name", unless is_data_name(text); `what` names it.
Result<void> check_name(std::string_view what, std::string_view text);

/// "datasets/<scan>/<file>": where an item of this name and type goes below its CID's folder. Safe
/// to join whatever the server sent.
std::filesystem::path download_path(std::string_view name, std::string_view data_type);

/// json, ply, drc -> ply_draco, ..., other -> <ext>_data, none -> binary.
std::string artifact_data_type(std::string_view path);
/// For files that a person uploads: also jpg, jpeg, png, pgm -> image_<ext>, zip, tar.
std::string file_data_type(std::string_view path);
/// "<stem>_<first 12 hex digits of the SHA-256 of the content>".
std::string file_data_name(std::string_view path, std::string_view sha256_hex);

struct ArtifactName {
  std::string logical_path;
  std::string name;
  std::string data_type;

  friend bool operator==(const ArtifactName&, const ArtifactName&) = default;
};

/// The names of one task's artifacts (wire.md, Data). The same rel_path gets the same name again;
/// two that would share a name and type are told apart by a digest.
class ArtifactNames final {
 public:
  ArtifactNames(const TaskId& task, std::string_view outputs_prefix);

  /// Kind `rejected` for an empty rel_path, and for a name or type of the runner's own that the
  /// server would refuse.
  Result<ArtifactName> name(std::string_view rel_path, const PutOptions& options);

 private:
  std::string task_;
  std::string prefix_;
  using Pair = std::pair<std::string, std::string>;
  std::map<Pair, ArtifactName> given_;  // by logical path and type
  std::set<Pair> taken_;                // name and type
};

}  // namespace pn::storage
