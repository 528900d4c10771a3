#include "node/claim_choice.hpp"

#include "base/ids.hpp"

#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

namespace pn::node {
namespace {

using namespace std::chrono_literals;

const std::vector<Capability> kAll{Capability("/a/v1"), Capability("/b/v1"), Capability("/c/v1")};

std::string asked(const std::optional<ClaimAsk>& ask) {
  if (!ask) return "none";
  return ask->capability ? ask->capability->str() : "any";
}

}  // namespace

TEST_CASE("slots: with all open one long request asks for all", "[node][slots]") {
  ClaimChoice choice(kAll, {{kAll[0], 2}}, 30s);
  const auto ask = choice.next({{kAll[0], 1}, {kAll[1], 7}}, {});
  REQUIRE(ask);
  CHECK_FALSE(ask->capability);
  CHECK(ask->hold == 30s);
  CHECK(ask->ends_round);
}

TEST_CASE("slots: with one at its cap the others are asked for in turn, and shortly",
          "[node][slots]") {
  ClaimChoice choice(kAll, {{kAll[1], 1}}, 30s);
  const std::map<Capability, std::size_t> busy{{kAll[1], 1}};
  const auto first = choice.next(busy, {});
  const auto second = choice.next(busy, {});
  const auto third = choice.next(busy, {});
  CHECK(asked(first) == "/a/v1");
  CHECK_FALSE(first->ends_round);
  CHECK(first->hold == 2s);
  CHECK(asked(second) == "/c/v1");
  CHECK(second->ends_round);
  CHECK(asked(third) == "/a/v1");
  ClaimChoice short_poll(kAll, {{kAll[1], 1}}, 0s);
  CHECK(short_poll.next(busy, {})->hold == 0s);
}

TEST_CASE("slots: what is paused is not asked for, and nothing when nothing is left",
          "[node][slots]") {
  ClaimChoice choice(kAll, {{kAll[1], 1}}, 30s);
  const std::map<Capability, std::size_t> busy{{kAll[1], 2}};
  CHECK(asked(choice.next(busy, {kAll[0]})) == "/c/v1");
  CHECK(asked(choice.next(busy, {kAll[0], kAll[2]})) == "none");
  CHECK(asked(choice.next({}, {})) == "any");
}

TEST_CASE("slots: each open one is asked for once a round, whatever opens and closes meanwhile",
          "[node][slots]") {
  ClaimChoice choice(kAll, {{kAll[0], 1}, {kAll[1], 1}, {kAll[2], 1}}, 0s);
  CHECK(asked(choice.next({{kAll[0], 1}}, {})) == "/b/v1");
  CHECK(asked(choice.next({{kAll[1], 1}}, {})) == "/c/v1");
  CHECK(asked(choice.next({{kAll[1], 1}}, {})) == "/a/v1");
  CHECK(asked(choice.next({{kAll[1], 1}, {kAll[2], 1}}, {})) == "/a/v1");
}

}  // namespace pn::node
