#include "base/file.hpp"
#include "base/json.hpp"
#include "node/health.hpp"
#include "node/node_status.hpp"
#include "node/status_json.hpp"

#include <cstddef>
#include <filesystem>
#include <regex>
#include <set>
#include <string>
#include <string_view>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

// The page about the status JSON against what the code writes.
namespace {

using namespace std::chrono_literals;
using pn::Json;

std::string page() {
  const auto file = std::filesystem::path(POSENODE_SOURCE) / "docs/reference/status.md";
  return pn::read_file(file, 1 << 20).value();
}

/// The names in the first column of the tables below `heading`.
std::set<std::string> first_column(std::string_view heading) {
  const std::string text = page();
  const std::size_t from = text.find("\n## " + std::string(heading) + "\n");
  REQUIRE(from != std::string::npos);
  const std::string part = text.substr(from, text.find("\n## ", from + 4) - from);
  const std::regex row(R"(\n\| `([^`]+)` \|)");
  std::set<std::string> out;
  for (std::sregex_iterator at(part.begin(), part.end(), row); at != std::sregex_iterator(); ++at) {
    out.insert((*at)[1]);
  }
  return out;
}

/// Every leaf as "slots.busy[].task_id"; the runner's own progress is one.
void leaves(const Json& value, const std::string& at, std::set<std::string>& out) {
  if (value.is_array() && !value.empty() && value[0].is_object()) {
    leaves(value[0], at + "[]", out);
  } else if (value.is_object() && !at.ends_with("progress")) {
    for (const auto& [key, inner] : value.items()) {
      leaves(inner, at.empty() ? key : at + "." + key, out);
    }
  } else {
    out.insert(value.is_array() ? at + "[]" : at);
  }
}

/// One of everything.
pn::node::NodeStatus full() {
  using namespace pn::node;  // NOLINT(google-build-using-namespace)
  NodeStatus out;
  out.busy.emplace_back().task = pn::TaskId("t1");
  out.busy[0].progress_json = R"({"stage":"features","done":3,"total":10})";
  out.capabilities.emplace_back().capability = pn::Capability("/noop/v1");
  out.past.emplace_back().task = pn::TaskId("t0");
  out.outbox.last_set_aside.emplace_back().answer = std::string(10'000, 'x');
  out.disks.emplace_back().folder = "work";
  out.cache = CacheStatus();
  out.clock_skew = 12ms;
  out.pause = Pause{};
  judge(HealthFacts(), out);
  out.reasons.emplace_back("paused");
  return out;
}

}  // namespace

TEST_CASE("status: the reference page has every field of the JSON, and no other", "[reference]") {
  const Json body = *pn::parse_json(pn::node::status_json(full()));
  std::set<std::string> written;
  leaves(body, "", written);
  std::set<std::string> told = first_column("Fields");
  CHECK(told.erase("pause") == 1);  // as null, when there is none
  CHECK(told.erase("cache") == 1);  // likewise
  CHECK(written == told);
  CHECK(body["slots"]["busy"][0]["progress"]["done"] == 3);
  CHECK(body["outbox"]["last_set_aside"][0]["answer"].get<std::string>().size() < 600);
}

TEST_CASE("status: the reference page has every check", "[reference]") {
  const pn::node::NodeStatus status = full();
  std::set<std::string> made;
  for (const pn::node::Check& check : status.checks) made.insert(check.name);
  CHECK(made == first_column("Checks"));
  CHECK(first_column("States").contains(status.state));
}
