#pragma once

#include "base/awaitable.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "bin/client_run.hpp"
#include "bin/commands.hpp"
#include "bin/jobs.hpp"

#include <cstddef>
#include <filesystem>
#include <string>

namespace pn::bin {

/// Shows a job until it has ended, fetches its artifacts into `out` (unless empty; those of failed
/// tasks too: their logs say why), says how it ended, and answers the exit code.
Awaitable<int> follow_job(Client& client,
                          const Invocation& invocation,
                          JobId id,
                          std::filesystem::path out);

/// How long a watcher waits before it asks for a job of so many tasks again. A job comes whole: at
/// least a millisecond for each task keeps what watching costs the same for every job.
Millis watch_pause(Millis usual, std::size_t tasks);

/// What a watcher that leaves says: how to come back, and how to stop the job.
std::string detached_text(const JobId& id);

/// Why attempts failed, a line each; empty when none did. `id` prefixes cut to 8 characters.
std::string failures_text(const JobDetails& details);

int exit_code_of_job(const JobRecord& job);

}  // namespace pn::bin
