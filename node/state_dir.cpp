#include "node/state_dir.hpp"

#include "base/file.hpp"
#include "base/result.hpp"

#include <cerrno>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>

#include <fcntl.h>
#include <sys/file.h>

namespace pn::node {

Result<StateDir> StateDir::open(const std::filesystem::path& path) {
  const Result<void> made = make_folders(path, 0700);
  if (!made) return within("STATE_DIR", made.error());
  const std::filesystem::path file = path / "lock";
  UniqueFd lock(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock) return within("STATE_DIR", from_errno(errno, "cannot open " + file.string()));
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) {
      return Error(ErrorKind::rejected,
                   "state_locked",
                   "another node runs with STATE_DIR=" + path.string() +
                       "; stop it, or give this one a STATE_DIR of its own");
    }
    return within("STATE_DIR", from_errno(errno, "cannot lock " + file.string()));
  }
  return StateDir(path, std::move(lock));
}

std::optional<bool> is_locked(const std::filesystem::path& state_dir) {
  const UniqueFd lock(::open((state_dir / "lock").c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!lock) return errno == ENOENT ? std::optional<bool>(false) : std::nullopt;
  if (::flock(lock.get(), LOCK_SH | LOCK_NB) == 0) return false;
  return errno == EWOULDBLOCK ? std::optional<bool>(true) : std::nullopt;
}

}  // namespace pn::node
