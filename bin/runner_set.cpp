#include "bin/runner_set.hpp"

#include "base/ids.hpp"
#include "base/result.hpp"
#include "node/config.hpp"
#include "runners/noop/noop.hpp"
#include "runners/process.hpp"
#include "runners/registry.hpp"
#include "runners/runner.hpp"
#include "runners/sfm/sfm.hpp"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

namespace pn::bin {
namespace {

RunnerState noop_state(Capability capability) {
  RunnerState state;
  state.capability = std::move(capability);
  state.runner = "noop";
  state.ready = true;
  return state;
}

}  // namespace

std::vector<RunnerState> runner_states(const node::Config& config, const std::string& search_path) {
  std::vector<RunnerState> out;
  RunnerState sfm;
  sfm.capability = Capability(std::string(runners::sfm::kCapability));
  sfm.runner = "sfm";
  Result<std::filesystem::path> colmap = runners::sfm::find_colmap(config.sfm_colmap, search_path);
  sfm.ready = colmap.ok();
  if (colmap) {
    sfm.program = std::move(*colmap);
  } else {
    sfm.missing = colmap.error().detail;
  }
  out.push_back(std::move(sfm));
  if (config.enable_noop) {
    out.push_back(noop_state(Capability("/noop/v1")));
    for (const Capability& capability : config.noop_capabilities) {
      // It stands in for any runner, a real one included: the last registration wins.
      std::erase_if(out, [&](const RunnerState& state) { return state.capability == capability; });
      out.push_back(noop_state(capability));
    }
  }
  std::sort(out.begin(), out.end(), [](const RunnerState& a, const RunnerState& b) {
    return a.capability < b.capability;
  });
  return out;
}

void register_runners(const std::vector<RunnerState>& states,
                      const node::Config& config,
                      runners::ProcessLauncher& launcher,
                      runners::Registry& registry) {
  const std::shared_ptr<runners::Runner> noop =
      runners::make_noop_runner({.sleep = config.noop_sleep});
  for (const RunnerState& state : states) {
    if (!state.ready) continue;
    if (state.runner == "noop") {
      registry.add(state.capability, noop);
    } else {
      runners::sfm::SfmSettings settings;
      settings.colmap = state.program;
      settings.threads = config.sfm_threads.value_or(
          static_cast<int>(std::max(1U, std::thread::hardware_concurrency())));
      settings.grace = config.cancel_grace;
      registry.add(state.capability, runners::sfm::make_sfm_runner(std::move(settings), launcher));
    }
  }
}

}  // namespace pn::bin
