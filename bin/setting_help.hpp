#pragma once

#include <string>

namespace pn::bin {

/// Every setting of `posenode run`, from the node's own table: what `run --help` ends with.
std::string run_settings_text();
/// The same of `posenode market`.
std::string market_settings_text();

}  // namespace pn::bin
