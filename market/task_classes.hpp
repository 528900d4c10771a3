#pragma once

#include "base/ids.hpp"
#include "market/tokens.hpp"

#include <map>
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

/// The task classes that claims look at: all that have open tasks, and some that had.
class TaskClasses final {
 public:
  /// Adds those of a reading; true when some are new. Readings may come in another order than they
  /// were made.
  bool learn(const std::vector<TaskClass>& read);
  /// Forgets those that are not in a reading. Not for one since whose beginning another has begun:
  /// that may have brought the classes of later jobs.
  void keep_only(const std::vector<TaskClass>& read);

  /// The classes whose tasks this node can do, `only` those of one capability where that is given.
  [[nodiscard]] std::vector<long long> fitting(const NodeTraits& node,
                                               const std::optional<Capability>& only) const;

 private:
  std::map<long long, TaskClass> known_;  ///< by id
};

}  // namespace pn::market
