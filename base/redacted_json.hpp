#pragma once

#include "base/json.hpp"
#include "base/redactor.hpp"

namespace pn {

/// Takes secrets out of every text in `value`, names too, and every text under a
/// name that says that it is one ("password"). On the value and not on its text, so that it stays
/// JSON whatever is taken out.
void redact(Json& value, const Redactor& redactor, Redactor::Hex hex);

}  // namespace pn
