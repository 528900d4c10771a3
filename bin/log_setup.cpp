#include "bin/log_setup.hpp"

#include "base/log.hpp"
#include "bin/commands.hpp"
#include "bin/environment.hpp"
#include "node/config_reader.hpp"

#include <array>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <unistd.h>

namespace pn::bin {

namespace fs = std::filesystem;

log::Options log_options(const Environment& environment,
                         log::Options otherwise,
                         std::vector<std::string>& faults) {
  log::Options out = otherwise;
  if (const auto format = value_of(environment, "LOG_FORMAT")) {
    const std::string asked = node::lower_case(*format);
    if (asked == "json") {
      out.format = log::Format::json;
    } else if (asked == "text") {
      out.format = log::Format::text;
    } else {
      faults.push_back("LOG_FORMAT=" + *format + ": must be json or text");
    }
  }
  if (const auto level = value_of(environment, "LOG_LEVEL")) {
    constexpr std::array<std::pair<std::string_view, log::Level>, 4> kLevels{
        {{"debug", log::Level::debug},
         {"info", log::Level::info},
         {"warn", log::Level::warn},
         {"error", log::Level::error}}};
    bool known = false;
    for (const auto& [name, value] : kLevels) {
      if (node::lower_case(*level) != name) continue;
      out.level = value;
      known = true;
    }
    if (!known) faults.push_back("LOG_LEVEL=" + *level + ": must be debug, info, warn or error");
  }
  return out;
}

fs::path default_folder(const Environment& environment, const std::string& name) {
  if (::geteuid() == 0) return fs::path("/var/lib/posenode") / name;
  if (const auto state = value_of(environment, "XDG_STATE_HOME")) {
    return fs::path(*state) / "posenode" / name;
  }
  if (const auto home = value_of(environment, "HOME")) {
    return fs::path(*home) / ".local/state/posenode" / name;
  }
  return {};
}

std::string search_path(const Invocation& invocation) {
  return value_of(invocation.environment, "PATH").value_or("/usr/local/bin:/usr/bin:/bin");
}

}  // namespace pn::bin
