#pragma once

#include <string_view>

namespace pn {

/// Semantic Versioning 2.0.0, section 9 to 11: "1.2.3", "1.2.3-rc.1+build". No leading "v".
bool is_semver(std::string_view text);

}  // namespace pn
