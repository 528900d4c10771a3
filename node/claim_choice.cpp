#include "node/claim_choice.hpp"

#include "base/ids.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

namespace pn::node {

ClaimChoice::ClaimChoice(std::vector<Capability> all,
                         std::map<Capability, std::size_t> caps,
                         std::chrono::seconds long_poll)
    : all_(std::move(all)), caps_(std::move(caps)), long_poll_(long_poll) {}

std::optional<std::size_t> ClaimChoice::cap(const Capability& capability) const {
  const auto found = caps_.find(capability);
  return found == caps_.end() ? std::nullopt : std::optional(found->second);
}

std::optional<ClaimAsk> ClaimChoice::next(const std::map<Capability, std::size_t>& busy,
                                          const std::set<Capability>& paused) {
  std::vector<Capability> open;
  for (const Capability& capability : all_) {
    const auto count = busy.find(capability);
    const auto most = cap(capability);
    const bool at_cap = most && count != busy.end() && count->second >= *most;
    if (!at_cap && !paused.contains(capability)) open.push_back(capability);
  }
  if (open.empty()) return std::nullopt;
  if (open.size() == all_.size()) {
    asked_.clear();
    return ClaimAsk{.hold = long_poll_};
  }
  // `all_` is sorted: the first after the last asked, and around.
  auto chosen = open.begin();
  if (last_) chosen = std::ranges::upper_bound(open, *last_);
  if (chosen == open.end()) chosen = open.begin();
  last_ = *chosen;
  asked_.insert(*chosen);
  const bool round =
      std::ranges::all_of(open, [&](const Capability& c) { return asked_.contains(c); });
  if (round) asked_.clear();
  return ClaimAsk{
      .capability = *chosen, .hold = std::min(long_poll_, kShortHold), .ends_round = round};
}

}  // namespace pn::node
