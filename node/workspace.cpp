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
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace pn::node {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "task-";
constexpr std::string_view kKept = "failed-";
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

bool lock_folder(int folder, int how) {
  for (;;) {
    if (::flock(folder, how) == 0) return true;
    if (errno != EINTR) return false;
  }
}

/// The last change of the folder itself; nothing when it cannot be told.
std::optional<SystemTime> changed_at(int folder) {
  struct stat status{};
  if (::fstat(folder, &status) != 0) return std::nullopt;
  return SystemTime(std::chrono::seconds(status.st_mtim.tv_sec));
}

/// Whether the folder that is open is still the one of that name.
bool is_at(int folder, const fs::path& path) {
  struct stat opened{};
  struct stat named{};
  return ::fstat(folder, &opened) == 0 && ::lstat(path.c_str(), &named) == 0 &&
         opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

/// The folder of that name, locked, where nobody holds it; it is not given to anybody from then on.
/// Does not wait: a node that was stopped in the middle would keep us.
UniqueFd take_leftover(int all, const fs::path& path) {
  if (!lock_folder(all, LOCK_EX | LOCK_NB)) return {};  // one is being made: the next time
  UniqueFd out = open_folder(path);
  const bool ours = out && lock_folder(out.get(), LOCK_EX | LOCK_NB) && is_at(out.get(), path);
  ::flock(all, LOCK_UN);
  if (!ours) out.reset();
  return out;
}

/// A runner's folders may forbid their owner, us, to look into them and to remove what is there.
/// Links are not followed: what they name is somebody else's.
void allow_removal(const fs::path& path) {
  const auto allow = [](const fs::path& folder) {
    ::fchmodat(AT_FDCWD, folder.c_str(), S_IRWXU, AT_SYMLINK_NOFOLLOW);
  };
  allow(path);
  std::error_code failed;
  fs::recursive_directory_iterator at(path, failed);
  // Each before the step that would go into it.
  for (; !failed && at != fs::recursive_directory_iterator(); at.increment(failed)) {
    std::error_code unknown;
    if (at->symlink_status(unknown).type() == fs::file_type::directory) allow(at->path());
  }
}

Result<void> remove_folder(const fs::path& path) {
  std::error_code failed;
  fs::remove_all(path, failed);
  if (failed == std::errc::permission_denied) {
    allow_removal(path);
    failed.clear();
    fs::remove_all(path, failed);
  }
  if (failed) return from_errno(failed.value(), "cannot remove the workspace " + path.string());
  return {};
}

bool crowded(const fs::path& work_dir, const CollectRules& rules) {
  const Result<Space> space = rules.probe(work_dir);
  return space.ok() && !judge("work", work_dir, *space, rules.limits).fault.empty();
}

bool is_kept(const fs::path& path) { return path.filename().string().starts_with(kKept); }

/// What is named like a workspace. By increment(): a for over the range throws where a network's
/// file system loses the folder in the middle.
std::vector<fs::path> folders_of(const fs::path& work_dir) {
  std::vector<fs::path> out;
  std::error_code failed;
  fs::directory_iterator at(work_dir, failed);
  for (; !failed && at != fs::directory_iterator(); at.increment(failed)) {
    const bool ours = at->path().filename().string().starts_with(kPrefix) || is_kept(at->path());
    if (ours) out.push_back(at->path());
  }
  return out;
}

}  // namespace

Workspace::Workspace(const fs::path& work_dir, const TaskId& task, Rng& rng)
    : path_(work_dir / file_name(task, rng)) {}

const fs::path& Workspace::open() {
  if (lock_) return path_;
  // From mkdir() to flock() the folder looks like a dead process's: no collector may look
  // meanwhile.
  const UniqueFd all = open_folder(path_.parent_path());
  if (!all || !lock_folder(all.get(), LOCK_SH)) {
    throw WorkspaceFailure(from_errno(errno, "cannot lock the folder of " + path_.string()));
  }
  if (::mkdir(path_.c_str(), 0700) != 0) {
    throw WorkspaceFailure(from_errno(errno, "cannot create the workspace " + path_.string()));
  }
  lock_ = open_folder(path_);
  if (lock_ && lock_folder(lock_.get(), LOCK_SH | LOCK_NB)) return path_;
  const int why = errno;
  lock_.reset();
  ::rmdir(path_.c_str());
  throw WorkspaceFailure(from_errno(why, "cannot lock the workspace " + path_.string()));
}

Result<void> Workspace::remove() {
  Result<void> removed = remove_folder(path_);
  lock_.reset();
  return removed;
}

Result<void> Workspace::keep() {
  const std::string name = path_.filename().string();
  const fs::path kept = path_.parent_path() / (std::string(kKept) + name.substr(kPrefix.size()));
  if (::rename(path_.c_str(), kept.c_str()) != 0) {
    return from_errno(errno, "cannot rename the workspace " + path_.string());
  }
  path_ = kept;
  // Its age counts from now, not from the task's first file.
  ::futimens(lock_.get(), nullptr);
  lock_.reset();
  return {};
}

Collected collect_workspaces(const fs::path& work_dir, const CollectRules& rules, SystemTime now) {
  Collected out;
  std::vector<std::pair<SystemTime, fs::path>> kept;
  const UniqueFd all = open_folder(work_dir);
  if (!all) return out;
  for (const fs::path& path : folders_of(work_dir)) {
    const UniqueFd folder = take_leftover(all.get(), path);
    if (!folder) continue;
    if (!is_kept(path)) {
      out.dead += remove_folder(path).ok() ? 1 : 0;
      continue;
    }
    const std::optional<SystemTime> changed = changed_at(folder.get());
    if (!changed) continue;
    if (now - *changed < rules.keep) {
      kept.emplace_back(*changed, path);
    } else {
      out.old += remove_folder(path).ok() ? 1 : 0;
    }
  }
  std::sort(kept.begin(), kept.end());
  for (const auto& [changed, path] : kept) {
    if (!crowded(work_dir, rules)) break;
    out.crowded += remove_folder(path).ok() ? 1 : 0;
  }
  return out;
}

}  // namespace pn::node
