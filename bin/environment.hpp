#pragma once

#include "base/result.hpp"

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pn::bin {

using Environment = std::map<std::string, std::string>;

/// This process's own. The only place that reads it.
Environment process_environment();

/// An environment file as `docker --env-file` reads it: KEY=VALUE lines, the value as it stands
/// (quotes included), blank lines and lines that begin with `#` skipped; a KEY alone takes its
/// value from `environment`, if there is one. Kind `rejected`, naming every bad line.
Result<Environment> parse_env_file(std::string_view text,
                                   std::string_view file,
                                   const Environment& environment);

/// Reads `file` and puts what is missing into `environment`: the real environment wins. An empty
/// path does nothing.
Result<void> load_env_file(const std::filesystem::path& file, Environment& environment);

/// The value; nothing when absent or empty.
std::optional<std::string> value_of(const Environment& environment, const std::string& name);

}  // namespace pn::bin
