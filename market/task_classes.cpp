#include "market/task_classes.hpp"

#include "base/ids.hpp"
#include "base/json.hpp"

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace pn::market {
namespace {

/// Every filter is an attribute of the node with the same value.
bool attributes_match(const std::string& filters, const std::string& attributes) {
  if (filters == "{}") return true;
  const Json wanted = Json::parse(filters, nullptr, false);
  const Json has = Json::parse(attributes, nullptr, false);
  if (!wanted.is_object() || !has.is_object()) return false;
  for (const auto& item : wanted.items()) {
    const auto at = has.find(item.key());
    if (at == has.end() || *at != item.value()) return false;
  }
  return true;
}

}  // namespace

bool TaskClasses::learn(const std::vector<TaskClass>& read) {
  bool grown = false;
  for (const TaskClass& c : read) grown = known_.try_emplace(c.id, c).second || grown;
  return grown;
}

void TaskClasses::keep_only(const std::vector<TaskClass>& read) {
  known_.clear();
  learn(read);
}

std::vector<long long> TaskClasses::fitting(const NodeTraits& node,
                                            const std::optional<Capability>& only) const {
  std::vector<long long> out;
  for (const auto& [id, c] : known_) {
    if (only && *only != c.capability) continue;
    if (std::ranges::find(node.capabilities, c.capability.str()) == node.capabilities.end()) {
      continue;
    }
    if (!c.organization.empty() && c.organization != node.organization) continue;
    if (attributes_match(c.filters, node.attributes)) out.push_back(id);
  }
  return out;
}

}  // namespace pn::market
