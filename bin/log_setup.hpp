#pragma once

#include "base/log.hpp"
#include "bin/commands.hpp"

#include <filesystem>
#include <string>
#include <vector>

namespace pn::bin {

/// LOG_FORMAT and LOG_LEVEL for the commands that are no node; `otherwise` where they are not set.
/// Adds to `faults` what is wrong with them.
log::Options log_options(const Environment& environment,
                         log::Options otherwise,
                         std::vector<std::string>& faults);

/// Where `name` keeps its state when nobody says: "/var/lib/posenode/<name>" for root, else
/// "$XDG_STATE_HOME/posenode/<name>" (~/.local/state). Empty when there is no home either.
std::filesystem::path default_folder(const Environment& environment, const std::string& name);

/// PATH, or what execvp would take.
std::string search_path(const Invocation& invocation);

}  // namespace pn::bin
