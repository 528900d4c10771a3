#include "base/file.hpp"

#include <filesystem>
#include <regex>
#include <string>

#include <catch2/catch.hpp>

// What is shipped must leave a node the time that it takes: a drain, and what comes after it.
namespace {

/// Past the end of a drain a node takes this long at most (node/node.cpp, kPastDrain).
constexpr double kPastDrain = 1.5;

std::string text_of(const char* path) {
  return pn::read_file(std::filesystem::path(POSENODE_SOURCE) / path, 1 << 20).value();
}

double number(const std::string& text, const char* pattern) {
  std::smatch found;
  INFO(pattern);
  REQUIRE(std::regex_search(text, found, std::regex(pattern)));
  return std::stod(found[1]);
}

}  // namespace

TEST_CASE("deploy: each platform kills later than a node has drained", "[reference]") {
  const std::string unit = text_of("deploy/posenode.service");
  CHECK(number(unit, R"(\nTimeoutStopSec=(\d+)\n)") >
        number(unit, R"(\nEnvironment=DRAIN_TIMEOUT_SECS=(\d+)\n)") + kPastDrain);
  const std::string compose = text_of("compose.yaml");
  CHECK(number(compose,
               R"re(DRAIN_TIMEOUT_SECS: "(\d+)"[^\n]*\n[^\n]*\n    stop_grace_period: \d+s)re") +
            kPastDrain <
        number(compose,
               R"re(DRAIN_TIMEOUT_SECS: "\d+"[^\n]*\n[^\n]*\n    stop_grace_period: (\d+)s)re"));
  constexpr double kDockerStop = 10;
  CHECK(number(text_of("Dockerfile"), R"(DRAIN_TIMEOUT_SECS=(\d+))") + kPastDrain < kDockerStop);
}

TEST_CASE("deploy: the image is built of all that the build adds", "[reference]") {
  const std::string ignore = text_of(".dockerignore");
  const std::string build = text_of("CMakeLists.txt");
  const std::regex part(R"(\nadd_subdirectory\((\w+)\))");
  for (std::sregex_iterator at(build.begin(), build.end(), part); at != std::sregex_iterator();
       ++at) {
    const std::string name = (*at)[1];
    INFO(name);
    CHECK(ignore.find("\n!" + name + "\n") != std::string::npos);
  }
  CHECK(ignore.find("\n!web\n") != std::string::npos);  // node/CMakeLists.txt turns it into code
}

TEST_CASE("deploy: the unit speaks with the node, and watches it", "[reference]") {
  const std::string unit = text_of("deploy/posenode.service");
  for (const char* line : {"\nType=notify\n", "\nNotifyAccess=main\n"}) {
    CHECK(unit.find(line) != std::string::npos);
  }
  // Longer than the poller may take for its slowest turn.
  CHECK(number(unit, R"(\nWatchdogSec=(\d+)\n)") >= 30);
}
