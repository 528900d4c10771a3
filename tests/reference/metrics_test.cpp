#include "node/metrics.hpp"

#include "base/file.hpp"
#include "base/ids.hpp"
#include "node/node_status.hpp"
#include "tests/support/child.hpp"
#include "tests/support/temp_folder.hpp"

#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <utility>

#include <catch2/catch.hpp>
#include <unistd.h>

// What /metrics writes, against its page and against the format's own rules.
namespace {

using namespace std::chrono_literals;
using pn::Capability;
using pn::node::Metrics;
using pn::testing::Child;
using pn::testing::ChildResult;
using pn::testing::TempFolder;

/// Everything once, with a label that must be escaped.
std::string all_of_it() {
  Metrics metrics;
  const Capability odd("/a\"b\\c\nd/v1");
  metrics.polled(Metrics::Poll::lease);
  metrics.dispatched(odd, 12ms);
  metrics.set_breaker(odd, true);
  metrics.heartbeat_sent(3ms);
  metrics.heartbeat_failed();
  metrics.lease_ended(Metrics::LeaseLoss::fenced);
  metrics.events_dropped(2);
  metrics.task_ended(odd, Metrics::TaskEnd::completed, 1500ms);
  metrics.set_slots(1, 4);
  metrics.receipt(Metrics::Delivery::sent);
  metrics.set_outbox(1, 2);
  metrics.set_disk_free("work", 123);
  metrics.set_cache({.path = "/w", .bytes = 5, .hits = 2, .misses = 1, .evicted_bytes = 7});
  metrics.set_clock_skew(-250ms);
  metrics.set_check("poll", true);
  return metrics.text();
}

struct Family {
  std::string type;
  std::set<std::string> labels;
  bool help = false;
  std::size_t samples = 0;

  friend bool operator==(const Family&, const Family&) = default;
};

/// The text exposition format 0.0.4, strictly: each family is announced, together and once, each
/// sample is one of the announced family and has a number, no series comes twice.
std::map<std::string, Family> parse(const std::string& text) {
  const std::regex meta(R"(# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+))");
  const std::regex sample(
      R"re(([a-zA-Z_:][a-zA-Z0-9_:]*)(\{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*",?)*)\})? (\S+))re");
  const std::regex label(R"re(([a-zA-Z_][a-zA-Z0-9_]*)="(?:[^"\\\n]|\\[\\"n])*")re");
  std::map<std::string, Family> out;
  std::set<std::string> series;
  std::string current;
  REQUIRE(text.ends_with("\n"));
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    INFO(line);
    std::smatch match;
    if (std::regex_match(line, match, meta)) {
      const std::string name = match[2];
      if (match[1] == "HELP") {
        REQUIRE_FALSE(out.contains(name));
        out[name].help = true;
        current = name;
      } else {
        REQUIRE(name == current);
        out[name].type = match[3];
      }
      continue;
    }
    REQUIRE(std::regex_match(line, match, sample));
    Family& family = out[current];
    const std::string name = match[1];
    const std::string labels = match[3];
    const bool histogram = family.type == "histogram";
    const bool ours =
        name == current || (histogram && (name == current + "_bucket" || name == current + "_sum" ||
                                          name == current + "_count"));
    REQUIRE(ours);
    REQUIRE(series.insert(name + "{" + labels + "}").second);
    char* end = nullptr;
    const std::string number = match[4];
    static_cast<void>(std::strtod(number.c_str(), &end));
    REQUIRE(*end == '\0');
    ++family.samples;
    for (std::sregex_iterator at(labels.begin(), labels.end(), label); at != std::sregex_iterator();
         ++at) {
      if ((*at)[1] != "le") family.labels.insert((*at)[1]);
    }
  }
  return out;
}

std::map<std::string, Family> page() {
  const auto file = std::filesystem::path(POSENODE_SOURCE) / "docs/reference/metrics.md";
  const std::string text = pn::read_file(file, 1 << 20).value();
  const std::regex row(R"(\n\| `(\w+)` \| (\w+) \|([^|]*)\|)");
  const std::regex word("`(\\w+)`");
  std::map<std::string, Family> out;
  for (std::sregex_iterator at(text.begin(), text.end(), row); at != std::sregex_iterator(); ++at) {
    Family& family = out[(*at)[1]];
    family.type = (*at)[2];
    const std::string labels = (*at)[3];
    for (std::sregex_iterator l(labels.begin(), labels.end(), word); l != std::sregex_iterator();
         ++l) {
      family.labels.insert((*l)[1]);
    }
  }
  return out;
}

}  // namespace

TEST_CASE("metrics: names, types and labels are those of the reference page",
          "[reference][metrics]") {
  const std::map<std::string, Family> told = page();
  std::map<std::string, Family> written = parse(all_of_it());
  REQUIRE(written.size() > 10);
  for (auto& [name, family] : written) {
    INFO(name);
    CHECK(name.starts_with("posenode_"));
    CHECK(family.help);
    CHECK(family.samples > 0);
    CHECK(name.ends_with("_total") == (family.type == "counter"));
    family.help = false;
    family.samples = 0;
  }
  CHECK(written == told);
}

TEST_CASE("metrics: the cache's own counts are told as they are", "[reference][metrics]") {
  Metrics metrics;
  CHECK(metrics.text().find("posenode_cache_hits_total 0\n") != std::string::npos);
  metrics.set_cache({.path = "/w", .bytes = 5, .hits = 2, .misses = 1, .evicted_bytes = 7});
  metrics.set_cache({.path = "/w", .bytes = 3, .hits = 4, .misses = 1, .evicted_bytes = 9});
  const std::string text = metrics.text();
  CHECK(text.find("posenode_cache_bytes 3\n") != std::string::npos);
  CHECK(text.find("posenode_cache_hits_total 4\n") != std::string::npos);
  CHECK(text.find("posenode_cache_misses_total 1\n") != std::string::npos);
  CHECK(text.find("posenode_cache_evicted_bytes_total 9\n") != std::string::npos);
}

TEST_CASE("metrics: what a fresh node writes is whole too, with zeros to count from",
          "[reference][metrics]") {
  const std::map<std::string, Family> written = parse(Metrics().text());
  CHECK(written.at("posenode_polls_total").samples == 3);
  CHECK(written.at("posenode_receipts_total").samples == 4);
}

TEST_CASE("metrics: promtool has nothing to say", "[reference][metrics]") {
  // Where it is installed (Debian's prometheus has it); the strict parser above runs everywhere.
  const char* const named = std::getenv("PROMTOOL");  // NOLINT(concurrency-mt-unsafe)
  const std::string tool = named != nullptr ? named : "/usr/bin/promtool";
  if (::access(tool.c_str(), X_OK) != 0) {
    WARN("skipped: there is no " + tool);
    return;
  }
  const TempFolder folder;
  folder.write("metrics", all_of_it());
  Child child({"/bin/sh", "-c", "exec \"$0\" check metrics < \"$1\"", tool, folder.file("metrics")},
              {});
  const ChildResult said = child.wait();
  CHECK(said.code == 0);
  CHECK(said.out.empty());
  CHECK(said.err.empty());
}
