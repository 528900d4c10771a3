#pragma once

#include "base/result.hpp"
#include "bin/commands.hpp"
#include "market/bootstrap.hpp"

#include <filesystem>
#include <set>
#include <string>
#include <vector>

namespace pn::bin {

/// Settings that hold a secret in a --write-env file: "REG_SECRET", "APP_SECRET".
using HeldSecrets = std::set<std::string>;

/// The secrets that this start made up and no file holds, a line each ("REG_SECRET  ..."): shown
/// once, known to nobody later; and what it changed of an earlier start.
std::string first_credentials_text(const market::Bootstrapped& first, const HeldSecrets& held);

/// market::write_env with the folders of `file` made, and the error naming what to do. Answers
/// which secrets the file holds now.
Result<HeldSecrets> write_client_env(const std::filesystem::path& file,
                                     const market::Bootstrapped& first,
                                     const std::string& public_url);

/// A line for each secret that the file should hold and does not: an earlier start made it up, and
/// only its hash is kept.
std::vector<std::string> lost_secrets(const std::filesystem::path& file, const HeldSecrets& held);

}  // namespace pn::bin
