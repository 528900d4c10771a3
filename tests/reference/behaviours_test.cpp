#include "base/file.hpp"

#include <filesystem>
#include <set>
#include <string>
#include <string_view>

#include <catch2/catch.hpp>

// docs/reference/behaviours.md, against the tests that it names.
namespace {

namespace fs = std::filesystem;

std::string text_of(const fs::path& file) { return pn::read_file(file, 1 << 20).value(); }

/// The first column of the table.
std::set<std::string> promised() {
  const std::string page = text_of(fs::path(POSENODE_SOURCE) / "docs/reference/behaviours.md");
  constexpr std::string_view kRow = "\n| `";
  std::set<std::string> names;
  for (std::size_t at = page.find(kRow); at != std::string::npos; at = page.find(kRow, at + 1)) {
    const std::size_t begin = at + kRow.size();
    names.insert(page.substr(begin, page.find('`', begin) - begin));
  }
  return names;
}

/// Every test's source in one text.
std::string sources() {
  std::string out;
  for (const auto& entry : fs::recursive_directory_iterator(fs::path(POSENODE_SOURCE) / "tests")) {
    if (entry.path().filename().string().ends_with("_test.cpp")) out += text_of(entry.path());
  }
  return out;
}

}  // namespace

TEST_CASE("behaviours: every promise of the page has a test of its name", "[reference]") {
  const std::string tests = sources();
  const std::set<std::string> names = promised();
  REQUIRE(names.size() == 29);  // the rows that this project has taken on
  for (const std::string& name : names) {
    INFO("no test begins with " << name);
    CHECK(tests.find("TEST_CASE(\"" + name + ":") != std::string::npos);
  }
}
