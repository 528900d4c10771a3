#pragma once

#include "base/ids.hpp"
#include "base/result.hpp"
#include "runners/runner.hpp"

#include <map>
#include <memory>
#include <vector>

namespace pn::runners {

/// Which runner does which capability. Filled by bin before the loops start, then constant.
class Registry final {
 public:
  /// The last registration of a capability wins. `runner` is shared by all the capabilities it is
  /// added under.
  void add(Capability capability, std::shared_ptr<Runner> runner);

  /// Kind `rejected`, code "unknown_capability", naming what is registered.
  [[nodiscard]] Result<Runner*> find(const Capability& capability) const;

  /// Sorted, each once: what the node registers with DDS.
  [[nodiscard]] std::vector<Capability> capabilities() const;
  [[nodiscard]] bool empty() const { return runners_.empty(); }

 private:
  std::map<Capability, std::shared_ptr<Runner>> runners_;
};

}  // namespace pn::runners
