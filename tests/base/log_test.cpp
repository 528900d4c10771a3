#include "base/log.hpp"

#include "base/ids.hpp"
#include "base/json.hpp"
#include "base/result.hpp"

#include <string>
#include <string_view>
#include <vector>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

namespace pn {
namespace {

struct Lines {
  std::vector<std::string> all;
  log::Sink sink() {
    return [this](log::Level, std::string_view line) { all.emplace_back(line); };
  }
};

}  // namespace

TEST_CASE("log: JSON lines carry the bound pairs, and no value forges a line", "[base]") {
  Lines lines;
  const log::Logger root({log::Level::info, log::Format::json}, lines.sink());
  const log::Logger bound = root.with({{"task", TaskId("t-1")}});
  bound.info("task.completed",
             {{"attempt", 2}, {"note", "a\n\"b\""}, {"ratio", 0.5}, {"ok", true}});
  bound.debug("task.polled");
  REQUIRE(lines.all.size() == 1);
  const Result<Json> parsed = parse_json(lines.all[0]);
  REQUIRE(parsed.ok());
  CHECK((*parsed)["event"] == "task.completed");
  CHECK((*parsed)["task"] == "t-1");
  CHECK((*parsed)["attempt"] == 2);
  CHECK((*parsed)["note"] == "a\n\"b\"");
  CHECK((*parsed)["ok"] == true);
}

TEST_CASE("log: text lines quote what is not one word", "[base]") {
  Lines lines;
  const log::Logger logger({log::Level::debug, log::Format::text}, lines.sink());
  logger.warn("poll.failed", {{"error", "no route"}, {"n", 1}});
  REQUIRE(lines.all.size() == 1);
  CHECK(lines.all[0].substr(13) == "warn poll.failed error=\"no route\" n=1");
}

TEST_CASE("log: what is no UTF-8 does not make a line that is no JSON", "[base]") {
  const auto [bytes, read] = GENERATE(table<std::string, std::string>({
      {"r\xe9seau", "r\uFFFDseau"},  // Latin-1
      {"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", "café € \U0001F600"},
      {"cut \xe2\x82", "cut \uFFFD\uFFFD"},
      {"\xc0\xaf", "\uFFFD\uFFFD"},                      // longer than it needs to be
      {"\xed\xa0\x80", "\uFFFD\uFFFD\uFFFD"},            // a surrogate
      {"\xf4\x90\x80\x80", "\uFFFD\uFFFD\uFFFD\uFFFD"},  // beyond the last character
  }));
  Lines lines;
  const log::Logger json({log::Level::info, log::Format::json}, lines.sink());
  json.warn("a.b", {{"error", bytes}});
  const log::Logger text({log::Level::info, log::Format::text}, lines.sink());
  text.warn("a.c", {{"error", bytes + " x"}});
  REQUIRE(lines.all.size() == 2);
  const Result<Json> parsed = parse_json(lines.all[0]);
  REQUIRE(parsed.ok());
  CHECK((*parsed)["error"] == read);
  CHECK(parse_json(lines.all[1].substr(lines.all[1].find('"'))).ok());
}

TEST_CASE("log: a repeated warning is written at powers of two", "[base]") {
  Lines lines;
  const log::Logger logger({log::Level::info, log::Format::json}, lines.sink());
  for (int i = 0; i < 9; ++i) logger.warn("poll.failed");
  CHECK(lines.all.size() == 4);  // 1, 2, 4, 8: all within one second
}

}  // namespace pn
