#pragma once

#include "bin/commands.hpp"
#include "bin/runner_set.hpp"
#include "node/config.hpp"

#include <vector>

namespace pn::bin {

/// `run --check`: prints what a node of this configuration would do, as far as this machine tells,
/// and touches no network. Exit code 0, or 2 where `run` would refuse to start for it.
int run_check(const Invocation& invocation,
              const node::ParsedConfig& parsed,
              const std::vector<RunnerState>& runners);

}  // namespace pn::bin
