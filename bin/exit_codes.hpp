#pragma once

#include "base/result.hpp"

namespace pn::bin {

// Every exit code of posenode; docs/reference/exit-codes.md lists them.

constexpr int kExitOk = 0;             ///< done, or drained
constexpr int kExitInternal = 1;       ///< a fault of ours, or of the machine
constexpr int kExitConfiguration = 2;  ///< a setting, an option, an input: nothing was begun
constexpr int kExitSignIn = 3;         ///< sign-in refused (client commands)
constexpr int kExitForced = 4;         ///< the third signal
constexpr int kExitJobFailed = 10;
constexpr int kExitJobCanceled = 11;
constexpr int kExitNotThere = 27;   ///< the job, task or data item does not exist
constexpr int kExitNotReady = 28;   ///< it has not ended yet (a wait that was detached)
constexpr int kExitTemporary = 75;  ///< may succeed later as it is

/// What a command that ended with `error` exits with.
int exit_code(const Error& error);
/// Says it on the terminal, and that code.
int failed(const Error& error);

}  // namespace pn::bin
