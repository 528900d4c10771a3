#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace pn::market {

/// How many events of a task are kept: the newest, of 64 KiB at most.
inline constexpr std::size_t kEventsKept = 50;

/// The JSON array of the newest events that fit, oldest first: of `old`, such an array, and after
/// it `newer`, JSON each. The cost is that of one look at each, however many there are.
std::string keep_events(const std::string& old, const std::vector<std::string>& newer);

}  // namespace pn::market
