#pragma once

#include <string_view>

namespace pn::node {

/// web/node.html, as the build put it in.
std::string_view status_page();

}  // namespace pn::node
