#pragma once

#include "base/ids.hpp"
#include "base/json.hpp"
#include "base/result.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pn::bin {

/// A job of one kind of task, as the command line describes it.
struct SimpleJob {
  Capability capability;
  std::string label;  ///< empty: from the capability
  std::vector<std::string> inputs;
  std::string meta_json = "{}";
  int count = 1;
  std::optional<std::int64_t> priority;
  std::optional<std::int64_t> max_attempts;
};

/// The spec as DMS takes it. Kind `rejected` when `meta_json` is no JSON object.
Result<Json> make_spec(const SimpleJob& job, const DomainId& domain);

/// A spec file's text, with the domain filled in where it names none. Kind `rejected` when it is no
/// spec, or is for another domain: nothing of ours could read its inputs.
Result<Json> read_spec(std::string_view text, std::string_view file, const DomainId& domain);

/// "/spatial/sfm/v1" -> "sfm": the part that names it.
std::string short_name(const Capability& capability);

}  // namespace pn::bin
