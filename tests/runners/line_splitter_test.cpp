#include "runners/line_splitter.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <catch2/catch.hpp>

namespace pn::runners {
namespace {

using Lines = std::vector<std::string>;

Lines split(std::string_view text, std::size_t piece, std::size_t limit = 100) {
  Lines out;
  LineSplitter splitter([&](std::string_view line) { out.emplace_back(line); }, limit);
  for (std::size_t at = 0; at < text.size(); at += piece) splitter.add(text.substr(at, piece));
  splitter.finish();
  return out;
}

}  // namespace

TEST_CASE("lines: every end of line, in pieces of every size", "[runners]") {
  const auto [name, text, expected] = GENERATE(table<std::string, std::string, Lines>({
      {"line feeds", "a\nbc\n", {"a", "bc"}},
      {"no end", "a\nbc", {"a", "bc"}},
      {"carriage returns", "10%\r20%\rdone\n", {"10%", "20%", "done"}},
      {"both", "a\r\nb\r\n", {"a", "b"}},
      {"empty lines stay", "a\n\n\r\nb", {"a", "", "", "b"}},
      {"nothing", "", {}},
  }));
  INFO(name);
  for (std::size_t piece = 1; piece <= text.size() + 1; ++piece) {
    INFO("pieces of " << piece);
    CHECK(split(text, piece) == expected);
  }
}

TEST_CASE("lines: of a longer line only the start is told", "[runners]") {
  CHECK(split("abcdefgh\nij\n", 3, 5) == Lines{"abcde", "ij"});
  CHECK(split("abcdefgh", 8, 5) == Lines{"abcde"});
}

}  // namespace pn::runners
