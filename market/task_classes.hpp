#pragma once

#include "base/ids.hpp"
#include "market/tokens.hpp"

#include <optional>
#include <string>
#include <vector>

namespace pn::market {

/// What a task asks of a node.
struct TaskClass {
  long long id = 0;
  Capability capability;
  std::string filters;          ///< JSON object
  OrganizationId organization;  ///< empty: any
};

/// A node as far as tasks ask.
struct NodeTraits {
  OrganizationId organization;
  std::vector<std::string> capabilities;
  std::string attributes;  ///< JSON object
};

/// All task classes that a market has seen: they are only ever added.
class TaskClasses final {
 public:
  /// Takes a newer reading of them; true when there are more than before. Readings may come in
  /// another order than they were made: a shorter one is older.
  bool learn(std::vector<TaskClass> read);

  /// The classes whose tasks this node can do, `only` those of one capability where that is given.
  [[nodiscard]] std::vector<long long> fitting(const NodeTraits& node,
                                               const std::optional<Capability>& only) const;

 private:
  std::vector<TaskClass> all_;
};

}  // namespace pn::market
