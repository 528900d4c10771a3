#include "market/task_classes.hpp"

#include "base/ids.hpp"
#include "base/json.hpp"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
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

bool TaskClasses::learn(std::vector<TaskClass> read) {
  if (read.size() <= all_.size()) return false;
  all_ = std::move(read);
  return true;
}

std::vector<long long> TaskClasses::fitting(const NodeTraits& node,
                                            const std::optional<Capability>& only) const {
  std::vector<long long> out;
  for (const TaskClass& c : all_) {
    if (only && *only != c.capability) continue;
    if (std::ranges::find(node.capabilities, c.capability.str()) == node.capabilities.end()) {
      continue;
    }
    if (!c.organization.empty() && c.organization != node.organization) continue;
    if (attributes_match(c.filters, node.attributes)) out.push_back(c.id);
  }
  return out;
}

}  // namespace pn::market
