#include "bin/setting_help.hpp"

#include "market/settings.hpp"
#include "node/settings.hpp"

#include <cstddef>
#include <string>
#include <string_view>

namespace pn::bin {
namespace {

constexpr std::size_t kNameWidth = 30;

void add_setting(std::string& out,
                 std::string_view name,
                 std::string_view purpose,
                 std::string_view allowed,
                 std::string_view fallback) {
  std::string line = "  " + std::string(name);
  if (line.size() < kNameWidth) line.resize(kNameWidth, ' ');
  out += line + " " + std::string(purpose) + "\n";
  out += std::string(kNameWidth + 1, ' ') + std::string(allowed);
  if (!fallback.empty()) out += "; default: " + std::string(fallback);
  out += "\n";
}

}  // namespace

std::string run_settings_text() {
  std::string out = "\nSettings, from the environment or the --env-file:\n";
  for (const node::Setting& row : node::settings()) {
    const bool required = row.has == node::DefaultKind::required;
    add_setting(out,
                row.name,
                row.purpose,
                (required ? "required: " : "") + node::allowed(row),
                required               ? ""
                : row.fallback.empty() ? "empty"
                                       : row.fallback);
  }
  return out;
}

std::string market_settings_text() {
  std::string out = "\nSettings, from the environment or the --env-file:\n";
  for (const market::MarketSetting& row : market::market_settings()) {
    add_setting(out, row.name, row.purpose, row.allowed, row.fallback);
  }
  out += "  LOG_FORMAT, LOG_LEVEL          as for posenode run\n";
  return out;
}

}  // namespace pn::bin
