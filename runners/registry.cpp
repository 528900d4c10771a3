#include "runners/registry.hpp"

#include "base/ids.hpp"
#include "base/result.hpp"
#include "runners/runner.hpp"

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace pn::runners {

void Registry::add(Capability capability, std::shared_ptr<Runner> runner) {
  runners_.insert_or_assign(std::move(capability), std::move(runner));
}

Result<Runner*> Registry::find(const Capability& capability) const {
  const auto at = runners_.find(capability);
  if (at != runners_.end()) return at->second.get();
  std::string known;
  for (const auto& [name, runner] : runners_) known += (known.empty() ? "" : ", ") + name.str();
  return Error(ErrorKind::rejected,
               "unknown_capability",
               "this node has no runner for \"" + capability.str() + "\"; it has " +
                   (known.empty() ? "none at all" : known));
}

std::vector<Capability> Registry::capabilities() const {
  std::vector<Capability> out;
  out.reserve(runners_.size());
  for (const auto& [capability, runner] : runners_) out.push_back(capability);
  return out;
}

}  // namespace pn::runners
