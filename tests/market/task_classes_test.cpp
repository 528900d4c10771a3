#include "market/task_classes.hpp"

#include "base/ids.hpp"

#include <optional>
#include <vector>

#include <catch2/catch.hpp>

namespace pn::market {

TEST_CASE("task classes: a late, older reading takes nothing back", "[market]") {
  const TaskClass one{1, Capability("/a/v1"), "{}", OrganizationId()};
  const TaskClass two{2, Capability("/a/v1"), R"({"gpu":true})", OrganizationId()};
  NodeTraits node;
  node.capabilities = {"/a/v1"};
  node.attributes = R"({"gpu":true})";
  TaskClasses classes;
  CHECK(classes.learn({one, two}));
  CHECK_FALSE(classes.learn({one}));
  CHECK(classes.fitting(node, std::nullopt) == std::vector<long long>{1, 2});
  CHECK_FALSE(classes.learn({one, two}));
  classes.keep_only({two});
  CHECK(classes.fitting(node, std::nullopt) == std::vector<long long>{2});
  CHECK(classes.learn({one, two}));
}

TEST_CASE("task classes: what fits a node", "[market]") {
  TaskClasses classes;
  classes.learn({{1, Capability("/a/v1"), "{}", OrganizationId()},
                 {2, Capability("/a/v1"), R"({"gpu":true})", OrganizationId()},
                 {3, Capability("/b/v1"), "{}", OrganizationId()},
                 {4, Capability("/a/v1"), "{}", OrganizationId("mine")},
                 {5, Capability("/a/v1"), "{}", OrganizationId("other")}});
  NodeTraits node;
  node.organization = OrganizationId("mine");
  node.capabilities = {"/a/v1", "/b/v1"};
  node.attributes = "{}";
  using Ids = std::vector<long long>;
  CHECK(classes.fitting(node, std::nullopt) == Ids{1, 3, 4});
  CHECK(classes.fitting(node, Capability("/b/v1")) == Ids{3});
  node.attributes = R"({"gpu":true,"cpu":1})";
  CHECK(classes.fitting(node, std::nullopt) == Ids{1, 2, 3, 4});
  node.attributes = R"({"gpu":1})";
  CHECK(classes.fitting(node, std::nullopt) == Ids{1, 3, 4});
}

}  // namespace pn::market
