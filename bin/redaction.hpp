#pragma once

#include "base/redactor.hpp"
#include "bin/environment.hpp"
#include "node/config.hpp"

#include <memory>
#include <span>
#include <string_view>

namespace pn::bin {

/// The settings whose values are secrets.
std::span<const std::string_view> secret_settings();

/// The one of this process: behind every logger, complain(), and what doctor prints.
const std::shared_ptr<Redactor>& redactor();

/// Tells it the secrets of an environment, and those that a node's configuration read from files.
void remember_secrets(const Environment& environment);
void remember_secrets(const node::Config& config);

/// Overwrites the secrets in the block that the kernel shows as /proc/PID/environ. After
/// process_environment(), while there is one thread.
void scrub_process_environment();

}  // namespace pn::bin
