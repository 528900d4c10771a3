#pragma once

#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/offload.hpp"
#include "base/rng.hpp"
#include "bin/client_session.hpp"
#include "bin/commands.hpp"
#include "bin/dms_jobs_client.hpp"
#include "bin/domain_data.hpp"

#include <functional>
#include <optional>

namespace pn::bin {

/// What a client command works with; all of it lives on one loop, as long as the command.
struct Client {
  Clock& clock;
  Rng& rng;
  ThreadPool& io;
  ClientSession& session;
  DmsJobsClient& jobs;
  DomainData& data;
};

/// Builds a client from the environment (with the --env-file), runs `command` on a loop of its own
/// and answers its exit code. Settings that are wrong: all of them said, exit code 2. SIGINT and
/// SIGTERM cancel the command: then `interrupted` is asked for the exit code, or, without one, the
/// process ends by that signal, as a shell expects.
int run_client(Invocation& invocation,
               const std::function<Awaitable<int>(Client&)>& command,
               const std::function<int()>& interrupted = {});

}  // namespace pn::bin
