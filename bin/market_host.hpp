#pragma once

#include "base/result.hpp"
#include "bin/commands.hpp"
#include "market/bootstrap.hpp"

#include <filesystem>
#include <string>

namespace pn::bin {

/// The secrets that this start made up, a line each ("REG_SECRET  ..."): shown once, known to
/// nobody later; and what it changed of an earlier start.
std::string first_credentials_text(const market::Bootstrapped& first);

/// market::write_env with the folders of `file` made, and the error naming what to do.
Result<void> write_client_env(const std::filesystem::path& file,
                              const market::Bootstrapped& first,
                              const std::string& public_url);

}  // namespace pn::bin
