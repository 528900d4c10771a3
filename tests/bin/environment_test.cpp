#include "bin/environment.hpp"

#include "base/file.hpp"
#include "base/result.hpp"
#include "tests/support/temp_folder.hpp"

#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>

#include <catch2/catch.hpp>
#include <stdlib.h>

using namespace pn;       // NOLINT(google-build-using-namespace)
using namespace pn::bin;  // NOLINT(google-build-using-namespace)

namespace {
Environment parsed(std::string_view text, const Environment& environment = {}) {
  const Result<Environment> out = parse_env_file(text, "x.env", environment);
  REQUIRE(out);
  return *out;
}
std::string fault_of(std::string_view text) {
  const Result<Environment> out = parse_env_file(text, "x.env", {});
  REQUIRE_FALSE(out);
  CHECK(out.error().kind == ErrorKind::rejected);
  return out.error().detail;
}
}  // namespace

TEST_CASE("env file: values stand as they are, as docker reads them", "[bin][env]") {
  CHECK(parsed("A=1\n\n# a comment\n  # another\nB= two words \nC=\"quoted\"\nD=a=b#c\nE=\n") ==
        Environment{
            {"A", "1"}, {"B", " two words "}, {"C", "\"quoted\""}, {"D", "a=b#c"}, {"E", ""}});
}

TEST_CASE("env file: line ends, a byte order mark and a missing last newline do not matter",
          "[bin][env]") {
  CHECK(parsed("\xEF\xBB\xBF"
               "A=1\r\n  B=2") == Environment{{"A", "1"}, {"B", "2"}});
  CHECK(parsed("").empty());
}

TEST_CASE("env file: the last of two lines wins", "[bin][env]") {
  CHECK(parsed("A=1\nA=2\n") == Environment{{"A", "2"}});
}

TEST_CASE("env file: a name alone takes its value from the environment", "[bin][env]") {
  CHECK(parsed("HOME\nABSENT\n", {{"HOME", "/root"}}) == Environment{{"HOME", "/root"}});
}

TEST_CASE("env file: every bad line is named", "[bin][env]") {
  const std::string fault = fault_of("A=1\n=x\nB C=2\nexport D=3\n");
  CHECK(fault.find("x.env:2:") != std::string::npos);
  CHECK(fault.find("x.env:3:") != std::string::npos);
  CHECK(fault.find("x.env:4:") != std::string::npos);
  CHECK(fault.find("x.env:1:") == std::string::npos);
  CHECK(fault_of(std::string_view("A=1\0\n", 5)).find("x.env:1:") != std::string::npos);
}

TEST_CASE("env file: the real environment wins over it", "[bin][env]") {
  const pn::testing::TempFolder folder;
  const std::filesystem::path file = folder.file("x.env");
  REQUIRE(write_file(file, "A=file\nB=file\n").ok());
  Environment environment{{"A", "real"}};
  CHECK(load_env_file(file, environment).ok());
  CHECK(environment == Environment{{"A", "real"}, {"B", "file"}});
  CHECK(load_env_file("", environment).ok());
  const Result<void> missing = load_env_file(folder.file("absent"), environment);
  REQUIRE_FALSE(missing.ok());
  CHECK(missing.error().kind == ErrorKind::not_found);
}

TEST_CASE("environment: an empty value is an absent one", "[bin][env]") {
  const Environment environment{{"A", ""}, {"B", "x"}};
  CHECK_FALSE(value_of(environment, "A"));
  CHECK(value_of(environment, "B") == "x");
  CHECK_FALSE(value_of(environment, "C"));
}
