#pragma once

#include "base/ids.hpp"

#include <string>
#include <string_view>

namespace pn::node {

enum class Outcome { completed, failed };
/// "completed", "failed"
std::string_view name(Outcome outcome);

/// What a node has to say about the end of a task; the body of wire.md, ready to be sent.
struct Receipt {
  TaskId task;
  Outcome outcome = Outcome::completed;
  std::string body;
  std::string trace_id{};
};

}  // namespace pn::node
