#pragma once

#include "bin/environment.hpp"

namespace pn::bin {

/// The command line: parses it, runs the subcommand, answers the exit code.
int run_cli(int argc, const char* const* argv, Environment environment);

}  // namespace pn::bin
