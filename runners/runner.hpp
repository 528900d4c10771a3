#pragma once

#include "base/awaitable.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"

#include <vector>

namespace pn::runners {

class TaskContext;

/// One thing a node can do. Registered under one or more capabilities (registry.hpp).
///
/// One object serves all slots: run() is called concurrently, on the transfer loop; keep state in
/// the coroutine.
class Runner {
 public:
  virtual ~Runner() = default;

  /// Does the task. Success: everything was put into `task.outputs()`. An Error is the task's
  /// failure: its `code` becomes the receipt's reason, its detail the explanation; kind `rejected`
  /// or `corrupt` says that another attempt cannot mend it (the receipt's `retryable: false`).
  /// Cancellation (canceled job, lost lease, shutdown) ends an await with operation_aborted: clean
  /// up by destructors, do not catch it. Long work goes through `task.offload()`.
  virtual Awaitable<Result<void>> run(TaskContext& task) = 0;
};

}  // namespace pn::runners
