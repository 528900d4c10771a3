#include "node/workspace.hpp"

#include "base/file.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "base/rng.hpp"
#include "base/time.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

namespace pn::node {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "task-";
constexpr std::size_t kLongestId = 64;

/// A peer's id is any text; as part of a file's name it is not.
std::string file_name(const TaskId& task, Rng& rng) {
  std::string id = task.str().substr(0, kLongestId);
  std::replace_if(
      id.begin(),
      id.end(),
      [](char c) {
        return !((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                 c == '-');
      },
      '_');
  return std::string(kPrefix) + id + "-" + random_hex(rng, 4);
}

UniqueFd open_folder(const fs::path& path) {
  return UniqueFd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

/// The last change of the folder itself; nothing when it cannot be told.
std::optional<SystemTime> changed_at(int folder) {
  struct stat status{};
  if (::fstat(folder, &status) != 0) return std::nullopt;
  return SystemTime(std::chrono::seconds(status.st_mtim.tv_sec));
}

}  // namespace

Workspace::Workspace(const fs::path& work_dir, const TaskId& task, Rng& rng)
    : path_(work_dir / file_name(task, rng)) {}

const fs::path& Workspace::open() {
  if (lock_) return path_;
  if (::mkdir(path_.c_str(), 0700) != 0) {
    throw WorkspaceFailure(from_errno(errno, "cannot create the workspace " + path_.string()));
  }
  lock_ = open_folder(path_);
  if (!lock_ || ::flock(lock_.get(), LOCK_SH | LOCK_NB) != 0) {
    throw WorkspaceFailure(from_errno(errno, "cannot lock the workspace " + path_.string()));
  }
  return path_;
}

Result<void> Workspace::remove() {
  std::error_code failed;
  fs::remove_all(path_, failed);
  lock_.reset();
  if (failed) {
    return from_errno(failed.value(), "cannot remove the workspace " + path_.string());
  }
  return {};
}

std::size_t remove_stale_workspaces(const fs::path& work_dir,
                                    std::chrono::hours keep,
                                    SystemTime now) {
  std::size_t removed = 0;
  std::error_code failed;
  for (const fs::directory_entry& entry : fs::directory_iterator(work_dir, failed)) {
    if (!entry.path().filename().string().starts_with(kPrefix)) continue;
    const UniqueFd folder = open_folder(entry.path());
    if (!folder || ::flock(folder.get(), LOCK_EX | LOCK_NB) != 0) continue;
    const std::optional<SystemTime> changed = changed_at(folder.get());
    if (!changed || now - *changed < keep) continue;
    std::error_code not_removed;
    fs::remove_all(entry.path(), not_removed);
    if (!not_removed) ++removed;
  }
  return removed;
}

}  // namespace pn::node
