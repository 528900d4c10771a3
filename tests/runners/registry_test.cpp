#include "runners/registry.hpp"

#include "base/ids.hpp"
#include "base/result.hpp"
#include "runners/noop/noop.hpp"
#include "runners/runner.hpp"

#include <memory>
#include <vector>

#include <catch2/catch.hpp>

namespace pn::runners {
namespace {
const Capability kNoop("/noop/v1");
const Capability kSfm("/spatial/sfm/v1");
}  // namespace

TEST_CASE("registry: the last registration of a capability wins", "[runners]") {
  Registry registry;
  const std::shared_ptr<Runner> first = make_noop_runner({});
  const std::shared_ptr<Runner> second = make_noop_runner({});
  registry.add(kNoop, first);
  registry.add(kNoop, second);
  const Result<Runner*> found = registry.find(kNoop);
  REQUIRE(found);
  CHECK(*found == second.get());
  CHECK(registry.capabilities().size() == 1);
}

TEST_CASE("registry: an unknown capability is an error that names the known ones", "[runners]") {
  Registry registry;
  CHECK(registry.empty());
  CHECK(registry.find(kSfm).error().detail.find("none at all") != std::string::npos);
  registry.add(kNoop, make_noop_runner({}));
  const Result<Runner*> found = registry.find(kSfm);
  REQUIRE_FALSE(found);
  CHECK(found.error().kind == ErrorKind::rejected);
  CHECK(found.error().code == "unknown_capability");
  CHECK(found.error().detail.find("/noop/v1") != std::string::npos);
}

TEST_CASE("registry: one runner may serve several capabilities, listed in order", "[runners]") {
  Registry registry;
  const std::shared_ptr<Runner> runner = make_noop_runner({});
  registry.add(kSfm, runner);
  registry.add(kNoop, runner);
  CHECK(registry.capabilities() == std::vector<Capability>{kNoop, kSfm});
  CHECK(*registry.find(kSfm) == *registry.find(kNoop));
}

}  // namespace pn::runners
