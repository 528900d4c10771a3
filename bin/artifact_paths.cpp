#include "bin/artifact_paths.hpp"

#include "base/result.hpp"
#include "bin/jobs.hpp"
#include "storage/naming.hpp"

#include <cctype>
#include <cstddef>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pn::bin {
namespace {

std::string plain(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    const bool kept =
        std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_' || c == '.';
    if (!kept) c = '_';
  }
  if (out.empty() || out.front() == '.') out.insert(out.begin(), '_');
  return out;
}

/// The runner's own path again: the task's prefix taken off.
std::string_view rel_path(std::string_view logical_path, std::string_view prefix) {
  prefix = storage::without_slashes(prefix);
  if (!prefix.empty() && logical_path.starts_with(prefix) &&
      logical_path.substr(prefix.size()).starts_with('/')) {
    logical_path.remove_prefix(prefix.size() + 1);
  }
  return logical_path;
}

std::string folder_name(const TaskRecord& task) {
  return plain(task.label.empty() ? "task" : task.label);
}

/// How many tasks would like each folder.
std::map<std::string, int> folder_names(const std::vector<TaskRecord>& tasks) {
  std::map<std::string, int> out;
  for (const TaskRecord& task : tasks) ++out[folder_name(task)];
  return out;
}

/// Its label, told apart by its id where two tasks share one; none for a job's only task.
std::filesystem::path folder_of(const TaskRecord& task, const std::map<std::string, int>& names) {
  const std::string name = folder_name(task);
  const int same = names.at(name);
  if (names.size() == 1 && same == 1) return {};
  return same > 1 ? name + "_" + plain(task.id.str()).substr(0, 8) : name;
}

}  // namespace

Result<std::filesystem::path> safe_relative(std::string_view path) {
  const auto refused = [&] {
    return Error(ErrorKind::corrupt,
                 "artifact_path",
                 "the receipt names an artifact \"" + std::string(path) +
                     "\", which is no path inside a folder; it is not fetched");
  };
  if (path.find('\0') != std::string_view::npos) return refused();
  std::filesystem::path out;
  for (std::string_view rest = path;;) {
    const std::size_t slash = rest.find('/');
    const std::string_view segment = rest.substr(0, slash);
    if (segment.empty() || segment == "." || segment == "..") return refused();
    out /= segment;
    if (slash == std::string_view::npos) return out;
    rest.remove_prefix(slash + 1);
  }
}

Result<std::vector<WantedFile>> wanted_files(const JobDetails& details) {
  std::map<std::string, const ReceiptRecord*> last;  // by task; the later report replaces
  for (const ReceiptRecord& receipt : details.receipts) {
    const ReceiptRecord*& kept = last[receipt.task.str()];
    if (kept == nullptr || !(receipt.created_at < kept->created_at)) kept = &receipt;
  }
  const std::map<std::string, int> names = folder_names(details.tasks);
  std::vector<WantedFile> out;
  for (const TaskRecord& task : details.tasks) {
    const auto receipt = last.find(task.id.str());
    if (receipt == last.end()) continue;
    const std::filesystem::path folder = folder_of(task, names);
    for (const ReceiptArtifact& artifact : receipt->second->artifacts) {
      const std::string& named =
          artifact.logical_path.empty() ? artifact.name : artifact.logical_path;
      Result<std::filesystem::path> path = safe_relative(rel_path(named, task.outputs_prefix));
      if (!path) return std::move(path).error();
      out.push_back({.id = artifact.id, .path = folder / *path, .data_type = artifact.data_type});
    }
  }
  return out;
}

}  // namespace pn::bin
