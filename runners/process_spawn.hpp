#pragma once

#include "base/file.hpp"
#include "base/result.hpp"

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

namespace pn::runners {

/// Where `program` is: itself when it has a slash, else the first executable of that name in the
/// folders of `search_path` (as $PATH holds them; empty: the system's usual ones). Kind
/// `not_found`, code "program_missing".
Result<std::filesystem::path> find_program(const std::string& program,
                                           std::string_view search_path);

/// What a program is started with; the program is a path already.
struct SpawnRequest {
  std::filesystem::path program;
  std::vector<std::string> arguments;
  std::map<std::string, std::string> environment;
  std::filesystem::path folder;
};

/// What the watcher tells when it ends.
struct SpawnReport {
  int exec_error = 0;              ///< errno of the step that kept the program from starting
  std::optional<int> wait_status;  ///< the program's, as waitpid gives it
};

/// A program in a process group of its own, behind a watcher that leads the group.
///
///     us ── lifeline ──▶ watcher (leads the group, adopts orphans) ──▶ the program and its own
///
/// The watcher is a fork of us that never executes anything: it closes all our descriptors, starts
/// the program, waits for it and for everything in the group, kills what left the group (setsid),
/// and ends. When we die, by kill -9 too, the lifeline breaks and it kills all that descends from
/// it: it is a subreaper, so that nothing gets out of its reach by losing its parent.
/// PR_SET_PDEATHSIG alone would not do: it reaches only the direct child, and fires when the
/// *thread* that forked ends. It is set on the program for the reverse case, a watcher that
/// somebody killed.
///
/// Until reap() the watcher is at least a zombie, so the group's id cannot be given to others and
/// signal_group() hits nobody else.
class SpawnedGroup final {
 public:
  SpawnedGroup(pid_t watcher, UniqueFd pidfd, UniqueFd output, UniqueFd report, UniqueFd lifeline);
  ~SpawnedGroup();  ///< kills and reaps what still runs
  SpawnedGroup(SpawnedGroup&& other) noexcept;
  SpawnedGroup& operator=(SpawnedGroup&&) = delete;

  /// Readable once the watcher has ended, and before it all that it started.
  [[nodiscard]] int pidfd() const { return pidfd_.get(); }
  /// Non-blocking: what the group writes to stdout and stderr.
  [[nodiscard]] int output() const { return output_.get(); }
  /// A signal that a program may handle; the watcher itself blocks them all. Not SIGKILL, which
  /// would take the watcher before those that left the group: that is kill_all().
  void signal_group(int signal) const;
  /// Breaks the lifeline: the watcher kills everything below it, then ends.
  void kill_all();
  /// Waits for the watcher; at once when pidfd() is readable.
  SpawnReport reap();

 private:
  pid_t watcher_;
  UniqueFd pidfd_;
  UniqueFd output_;
  UniqueFd report_;
  UniqueFd lifeline_;
};

/// Starts it. Does not wait for the exec: a program that cannot be executed shows in the report.
/// Kind `internal`, code "spawn_failed", when there are no processes or descriptors left.
Result<SpawnedGroup> spawn_group(const SpawnRequest& request);

}  // namespace pn::runners
