#include "base/file.hpp"

#include <filesystem>
#include <regex>
#include <set>
#include <string>
#include <string_view>

#include <catch2/catch.hpp>

namespace {

/// What the first group of `row` matches, line by line.
std::set<std::string> numbers(std::string_view path, const std::string& row) {
  const std::filesystem::path file = std::filesystem::path(POSENODE_SOURCE) / path;
  const std::string text = pn::read_file(file, 1 << 20).value();
  const std::regex pattern(row, std::regex::multiline);
  std::set<std::string> found;
  for (std::sregex_iterator at(text.begin(), text.end(), pattern); at != std::sregex_iterator();
       ++at) {
    found.insert((*at)[1]);
  }
  return found;
}

}  // namespace

TEST_CASE("exit codes: the reference page has the ones of the code, and no other", "[reference]") {
  const auto in_code = numbers("bin/exit_codes.hpp", R"(^constexpr int kExit\w+ = (\d+);)");
  const auto on_page = numbers("docs/reference/exit-codes.md", R"(^\| (\d+) \|)");
  REQUIRE(in_code.size() > 5);
  CHECK(on_page == in_code);
}
