#include "market/settings.hpp"

#include "base/file.hpp"
#include "node/settings.hpp"

#include <cstddef>
#include <filesystem>
#include <set>
#include <string>
#include <string_view>

#include <catch2/catch.hpp>

// The pages that say what can be set, against the tables that the parsers go by.
namespace {

using pn::node::DefaultKind;

std::string page(std::string_view path) {
  return pn::read_file(std::filesystem::path(POSENODE_SOURCE) / path, 1 << 20).value();
}

bool has_line(const std::string& text, const std::string& line) {
  return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}

std::string code(std::string_view text) {
  if (text == "none" || text == "made up") return std::string(text);
  return "`" + std::string(text) + "`";
}

std::string row(std::string_view name,
                const std::string& fallback,
                std::string_view allowed,
                std::string_view purpose) {
  return "| `" + std::string(name) + "` | " + fallback + " | " + std::string(allowed) + " | " +
         std::string(purpose) + " |";
}

/// NAME of each "NAME=" line, commented out or not.
std::set<std::string> names_of_example(const std::string& text) {
  std::set<std::string> names;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find('\n', at);
    std::string_view line(text.data() + at, end - at);
    at = end + 1;
    if (line.starts_with('#')) line.remove_prefix(1);
    const std::size_t equals = line.find('=');
    const std::string_view name = line.substr(0, equals);
    const bool is_name =
        name.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == std::string_view::npos;
    if (equals != std::string_view::npos && is_name) names.emplace(name);
  }
  return names;
}

}  // namespace

TEST_CASE("settings: the reference page has a row for every setting", "[reference]") {
  const std::string text = page("docs/reference/settings.md");
  for (const pn::node::Setting& setting : pn::node::settings()) {
    const std::string fallback =
        setting.has == DefaultKind::required ? "required" : code(setting.fallback);
    const std::string line =
        row(setting.name, fallback, pn::node::allowed(setting), setting.purpose);
    INFO("docs/reference/settings.md needs: " << line);
    CHECK(has_line(text, line));
  }
  for (const pn::market::MarketSetting& setting : pn::market::market_settings()) {
    const std::string line =
        row(setting.name, code(setting.fallback), setting.allowed, setting.purpose);
    INFO("docs/reference/settings.md needs: " << line);
    CHECK(has_line(text, line));
  }
}

TEST_CASE("settings: .env.example names every setting with its default, and no other",
          "[reference]") {
  const std::string text = page(".env.example");
  std::set<std::string> known = {"API_BASE_URL", "APP_KEY", "APP_SECRET", "DOMAIN_ID"};
  for (const pn::node::Setting& setting : pn::node::settings()) {
    const std::string name(setting.name);
    known.insert(name);
    const std::string line = setting.has == DefaultKind::required ? name + "="
                             : setting.has == DefaultKind::literal
                                 ? "#" + name + "=" + std::string(setting.fallback)
                                 : "#" + name + "=";
    INFO(".env.example needs: " << line);
    CHECK(has_line(text, line));
  }
  for (const pn::market::MarketSetting& setting : pn::market::market_settings()) {
    const std::string name(setting.name);
    known.insert(name);
    const std::string_view fallback = setting.fallback == "made up" ? "" : setting.fallback;
    const std::string line = "#" + name + "=" + std::string(fallback);
    INFO(".env.example needs: " << line);
    CHECK(has_line(text, line));
  }
  CHECK(names_of_example(text) == known);
}
