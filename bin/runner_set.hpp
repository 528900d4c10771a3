#pragma once

#include "base/ids.hpp"
#include "node/config.hpp"
#include "runners/process.hpp"
#include "runners/registry.hpp"

#include <filesystem>
#include <string>
#include <vector>

namespace pn::bin {

/// A runner that this build has, and whether this machine can run it.
struct RunnerState {
  Capability capability;
  std::string runner;  ///< "sfm", "noop"
  bool ready = false;
  std::string missing;            ///< why not, and what to do
  std::filesystem::path program;  ///< what it starts; empty: nothing
};

/// What the configuration and the machine allow. `search_path` is PATH.
std::vector<RunnerState> runner_states(const node::Config& config, const std::string& search_path);

/// Puts the ready ones into `registry`. `launcher` outlives it.
void register_runners(const std::vector<RunnerState>& states,
                      const node::Config& config,
                      runners::ProcessLauncher& launcher,
                      runners::Registry& registry);

}  // namespace pn::bin
