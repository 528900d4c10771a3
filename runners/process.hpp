#pragma once

#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/result.hpp"
#include "base/time.hpp"

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pn::runners {

struct ProcessSpec {
  std::string program;  ///< a path, or a name looked up in PATH
  std::vector<std::string> arguments;
  /// The child's whole environment; nothing of ours is inherited.
  std::map<std::string, std::string> environment;
  std::filesystem::path folder;
  /// Each line of its output (stdout and stderr in one stream), without the line end, at most 8 KiB
  /// of it.
  std::function<void(std::string_view line)> on_line;
  /// Cancellation: SIGTERM to the group, and SIGKILL after this.
  std::chrono::milliseconds grace{30'000};
};

struct ProcessExit {
  int code = 0;  ///< its exit code; 128 + signal when killed
  std::optional<int> signal{};
  std::chrono::milliseconds wall{0};
};

/// Starts programs in process groups of their own, which die with us (even by kill -9), with what
/// they started elsewhere (setsid). Kind `not_found`, code "program_missing", when there is no such
/// program.
class ProcessLauncher {
 public:
  virtual ~ProcessLauncher() = default;
  /// Returns when the program and what it started in its group have ended; what it started outside
  /// of its group is killed then. Cancellation stops the group, waits for it, kills the rest, then
  /// throws operation_aborted.
  virtual Awaitable<Result<ProcessExit>> run(ProcessSpec spec) = 0;
  /// From now on a grace ends then at the latest, also one that runs. Thread: any.
  virtual void stop_by(SteadyTime /*latest*/) {}
};

/// The real one.
std::unique_ptr<ProcessLauncher> make_process_launcher(Executor executor, Clock& clock);

}  // namespace pn::runners
