#pragma once

#include "bin/commands.hpp"
#include "node/config.hpp"

#include <string>
#include <vector>

namespace pn::bin {

/// "REG_SECRET from the environment", one for each secret of a node: never its value.
std::vector<std::string> secret_sources(const Invocation& invocation,
                                        const node::ParsedConfig& parsed);

/// What works and should be mended: files with secrets that others can read. Blocks.
std::vector<std::string> secret_doubts(const Invocation& invocation,
                                       const node::ParsedConfig& parsed);

}  // namespace pn::bin
