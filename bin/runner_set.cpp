#include "bin/runner_set.hpp"

#include "runners/noop/noop.hpp"

#include <algorithm>
#include <filesystem>
#include <utility>

#include <unistd.h>

namespace pn::bin {
namespace {

namespace fs = std::filesystem;

bool runnable(const fs::path& file) {
  std::error_code failed;
  return fs::is_regular_file(file, failed) && ::access(file.c_str(), X_OK) == 0;
}

RunnerState noop_state(Capability capability) {
  return {.capability = std::move(capability), .runner = "noop", .ready = true, .missing = ""};
}

}  // namespace

std::string find_program(const std::string& program, const std::string& search_path) {
  if (program.find('/') != std::string::npos) return runnable(program) ? program : "";
  for (std::string_view rest = search_path; !rest.empty();) {
    const std::size_t colon = rest.find(':');
    const std::string_view folder = rest.substr(0, colon);
    rest.remove_prefix(colon == std::string_view::npos ? rest.size() : colon + 1);
    const fs::path file = fs::path(folder.empty() ? "." : folder) / program;
    if (runnable(file)) return file.string();
  }
  return "";
}

std::vector<RunnerState> runner_states(const node::Config& config, const std::string& search_path) {
  std::vector<RunnerState> out;
  RunnerState sfm;
  sfm.capability = Capability("/spatial/sfm/v1");
  sfm.runner = "sfm";
  sfm.ready = !find_program(config.sfm_colmap, search_path).empty();
  if (!sfm.ready) {
    sfm.missing = "COLMAP is not installed: no program \"" + config.sfm_colmap +
                  "\" is found. Install the package colmap, or set SFM_COLMAP";
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
  static_cast<void>(launcher);
  for (const RunnerState& state : states) {
    if (state.ready && state.runner == "noop") registry.add(state.capability, noop);
  }
}

}  // namespace pn::bin
