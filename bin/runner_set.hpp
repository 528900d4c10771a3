#pragma once

#include "base/clock.hpp"
#include "base/ids.hpp"
#include "base/log.hpp"
#include "bin/environment.hpp"
#include "node/config.hpp"
#include "runners/process.hpp"
#include "runners/registry.hpp"

#include <memory>
#include <string>
#include <vector>

namespace pn::bin {

/// A runner that this build has, and whether this machine can run it.
struct RunnerState {
  Capability capability;
  std::string runner;  ///< "sfm", "noop"
  bool ready = false;
  std::string missing;  ///< why not, and what to do
};

/// What the configuration and the machine allow. `search_path` is PATH.
std::vector<RunnerState> runner_states(const node::Config& config, const std::string& search_path);

/// Puts the ready ones into `registry`. `launcher` and `clock` outlive it.
void register_runners(const std::vector<RunnerState>& states,
                      const node::Config& config,
                      runners::ProcessLauncher& launcher,
                      runners::Registry& registry);

/// The file that would run as `program` with this PATH; empty when there is none.
std::string find_program(const std::string& program, const std::string& search_path);

}  // namespace pn::bin
