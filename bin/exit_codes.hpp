#pragma once

#include "base/result.hpp"

namespace pn::bin {

/// Every exit code of posenode; docs/reference/exit-codes.md lists them.
enum ExitCode : int {
  kExitOk = 0,             ///< done, or drained
  kExitInternal = 1,       ///< a fault of ours, or of the machine
  kExitConfiguration = 2,  ///< a setting, an option, an input: nothing was begun
  kExitSignIn = 3,         ///< sign-in refused (client commands)
  kExitForced = 4,         ///< the third signal
  kExitJobFailed = 10,
  kExitJobCanceled = 11,
  kExitNotThere = 27,   ///< the job, task or data item does not exist
  kExitNotReady = 28,   ///< it has not ended yet (a wait that was detached)
  kExitTemporary = 75,  ///< may succeed later as it is
};

/// What a client command that ended with `error` exits with.
ExitCode exit_code(const Error& error);

}  // namespace pn::bin
