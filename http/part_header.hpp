#pragma once

#include "http/multipart.hpp"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pn::http {

/// "form-data; name=\"a\\\"b\"; size=12": the value before the first ";", and the parameters with
/// lower-case names, quotes resolved. A repeated name keeps its first value; `name*` is left out.
struct HeaderParameters {
  std::string value;
  std::map<std::string, std::string, std::less<>> parameters;
};
HeaderParameters parse_parameters(std::string_view text);

/// The lines of one part's header block, without the empty line that ends it. Kind `corrupt`, code
/// "multipart_header".
Result<PartHeader> parse_part_header(std::string_view block);

}  // namespace pn::http
