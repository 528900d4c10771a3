#include "base/awaitable.hpp"
#include "base/file.hpp"
#include "base/result.hpp"
#include "bin/beside.hpp"
#include "bin/doctor.hpp"
#include "bin/doctor_report.hpp"
#include "bin/folder_space.hpp"
#include "node/config.hpp"
#include "node/node_cache.hpp"
#include "node/state_dir.hpp"

#include <cerrno>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <unistd.h>

namespace pn::bin::doctor {
namespace {

namespace fs = std::filesystem;

/// What a look at a folder brought.
struct Looked {
  bool missing = false;  ///< it is not there yet
  std::string fault{};   ///< why nothing can be written; empty: it can
  Running running = Running::no;
};

/// Writes nothing that stays. Blocks.
Looked look_at(const fs::path& folder) {
  Looked out;
  std::error_code failed;
  if (!fs::exists(folder, failed)) {
    out.missing = true;
    const fs::path parent = nearest_folder(folder);
    if (failed) {
      out.fault = failed.message();
    } else if (!fs::is_directory(parent, failed)) {
      out.fault = parent.string() + " is no folder";
    } else if (::access(parent.c_str(), W_OK | X_OK) != 0) {
      out.fault = "it is not there, and " + parent.string() + " cannot be written: " +
                  std::error_code(errno, std::generic_category()).message();
    }
    return out;
  }
  const fs::path probe = folder / (".doctor-" + std::to_string(::getpid()));
  const Result<UniqueFd> made = create_new(probe, 0600);
  if (!made) {
    out.fault = made.error().detail;
    return out;
  }
  const Result<void> written = write_all(made->get(), std::string(4096, 'x'));
  if (!written) out.fault = written.error().detail;
  fs::remove(probe, failed);
  return out;
}

Running running_with(const fs::path& state_dir) {
  const std::optional<bool> locked = node::is_locked(state_dir);
  if (!locked) return Running::unknown;
  return *locked ? Running::yes : Running::no;
}

Finding folder_finding(std::string_view check,
                       const std::string& setting,
                       const fs::path& folder,
                       const Result<Looked>& looked) {
  const std::string tried = "write into " + setting + "=" + folder.string();
  if (!looked) {
    return failure(
        check,
        Blame::configuration,
        tried,
        "no answer in time",
        {"the disk hangs: is it a network disk that is gone? Choose another " + setting});
  }
  if (!looked->fault.empty()) {
    return failure(
        check,
        Blame::configuration,
        tried,
        looked->fault,
        {"give the folder to the user who runs the node (chown), or choose another " + setting,
         "if the node runs as another user, run doctor as that one"});
  }
  std::string got = looked->missing ? "it is not there yet, and can be made" : "it can be written";
  if (looked->running == Running::yes) got += "; a node is running with it";
  return fine(check, tried, std::move(got));
}

Finding disk_finding(const node::Config& config, const Result<std::vector<FolderSpace>>& spaces) {
  const std::string tried = "free space";
  if (!spaces) {
    return failure("disk",
                   Blame::temporary,
                   tried,
                   "no answer in time",
                   {"the disk hangs: is it a network disk that is gone?"});
  }
  std::string got;
  std::string faults;
  for (const FolderSpace& space : *spaces) {
    if (!got.empty()) got += "; ";
    got += space.setting + " " + describe(space);
    const std::string fault = fault_of(space, config);
    if (fault.empty()) continue;
    if (!faults.empty()) faults += "; ";
    faults += space.setting + ": " + fault;
  }
  if (faults.empty()) return fine("disk", tried, got);
  return failure("disk",
                 Blame::temporary,
                 tried,
                 got + ": the node leases nothing (" + faults + ")",
                 {"make room on that disk (failed workspaces are kept in WORK_DIR for " +
                      std::to_string(config.workspace_keep_failed.count()) + " h)",
                  "or move WORK_DIR to a larger disk; DISK_MIN_FREE_MB, DISK_MAX_USED_PCT and "
                  "INODE_MAX_USED_PCT are the floors"});
}

}  // namespace

Awaitable<Running> examine_folders(Patient& patient) {
  const node::Config& config = patient.config;
  const std::function<Looked()> state = [folder = config.state_dir] {
    Looked out = look_at(folder);
    out.running = running_with(folder);
    return out;
  };
  const Result<Looked> state_dir = co_await beside(patient.pool, patient.left(), state);
  Finding of_state = folder_finding("state_dir", "STATE_DIR", config.state_dir, state_dir);
  patient.report.add(std::move(of_state));

  const std::function<Looked()> work = [folder = config.work_dir] { return look_at(folder); };
  const Result<Looked> work_dir = co_await beside(patient.pool, patient.left(), work);
  Finding of_work = folder_finding("work_dir", "WORK_DIR", config.work_dir, work_dir);
  patient.report.add(std::move(of_work));

  const std::function<std::vector<FolderSpace>()> measure = [state_path = config.state_dir,
                                                             work_path = config.work_dir,
                                                             cache = node::cache_folder(config)] {
    return node_folders(state_path, work_path, cache);
  };
  const Result<std::vector<FolderSpace>> spaces =
      co_await beside(patient.pool, patient.left(), measure);
  Finding of_disk = disk_finding(config, spaces);
  patient.report.add(std::move(of_disk));
  co_return state_dir ? state_dir->running : Running::unknown;
}

}  // namespace pn::bin::doctor
