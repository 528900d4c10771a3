#pragma once

#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/ids.hpp"
#include "base/log.hpp"
#include "base/offload.hpp"
#include "base/result.hpp"
#include "storage/ports.hpp"

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace pn::runners {

/// What a runner knows of its task: values that do not change while it runs.
struct TaskInfo {
  TaskId id;
  JobId job;  ///< empty when the server named none
  Capability capability;
  DomainId domain;  ///< empty when the server named none
  std::vector<Cid> inputs;
  std::string outputs_prefix;
  std::string meta_json = "{}";  ///< the task's `meta`, a JSON object as text
  int attempt = 1;
  int max_attempts = 1;
};

/// A runner's whole world (docs/overview.md, a task's life). Lives as long as run(). Everything
/// here is called on the transfer loop.
class TaskContext {
 public:
  virtual ~TaskContext() = default;

  [[nodiscard]] virtual const TaskInfo& info() const = 0;
  /// Fetches inputs into the workspace, and puts artifacts.
  virtual storage::InputPort& inputs() = 0;
  virtual storage::ArtifactPort& outputs() = 0;

  /// A folder of this task's own, empty at the start, mode 0700; removed after success, kept after
  /// a failure.
  [[nodiscard]] virtual const std::filesystem::path& workspace() const = 0;

  /// What the next heartbeat carries; the latest wins. `json` is any JSON value as text.
  virtual void progress(std::string json) = 0;
  /// Carried by a heartbeat once, in order.
  virtual void event(std::string json) = 0;

  /// For long work: `co_await offload(task.compute(), fn)`.
  virtual ThreadPool& compute() = 0;
  virtual Clock& clock() = 0;
  [[nodiscard]] virtual const log::Logger& log() const = 0;
};

}  // namespace pn::runners
