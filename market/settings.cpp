#include "market/settings.hpp"

#include "base/secret.hpp"
#include "market/database.hpp"

#include <array>
#include <charconv>
#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace pn::market {
namespace {

constexpr std::string_view kSeconds = "a whole number from 1 to 604800";
constexpr std::string_view kPrintable = "1 to 128 printable characters without blanks";
constexpr std::string_view kText = "1 to 128 characters on one line";

constexpr std::array kSettings{
    MarketSetting{.name = "LEASE_TTL_SECS",
                  .fallback = "30",
                  .allowed = "a whole number from 1 to 86400",
                  .secret = false,
                  .purpose = "how long a node may be silent before its task goes to another"},
    MarketSetting{.name = "NODE_TOKEN_TTL_SECS",
                  .fallback = "3600",
                  .allowed = kSeconds,
                  .secret = false,
                  .purpose = "life of a node's access token"},
    MarketSetting{.name = "TASK_TOKEN_TTL_SECS",
                  .fallback = "3600",
                  .allowed = kSeconds,
                  .secret = false,
                  .purpose = "life of a task's data token"},
    MarketSetting{
        .name = "MARKET_SYNCHRONOUS",
        .fallback = "normal",
        .allowed = "normal or full",
        .secret = false,
        .purpose =
            "normal: submissions and receipts wait for the disk; full: every answer, so that "
            "a power cut loses nothing"},
    MarketSetting{.name = "MARKET_BOOTSTRAP_REG_SECRET",
                  .fallback = "made up",
                  .allowed = kPrintable,
                  .secret = true,
                  .purpose = "what nodes show to register (their REG_SECRET)"},
    MarketSetting{.name = "MARKET_BOOTSTRAP_APP_KEY",
                  .fallback = "made up",
                  .allowed = "1 to 128 printable characters without blanks and colons",
                  .secret = false,
                  .purpose = "the first app's key"},
    MarketSetting{.name = "MARKET_BOOTSTRAP_APP_SECRET",
                  .fallback = "made up",
                  .allowed = kPrintable,
                  .secret = true,
                  .purpose = "and its secret"},
    MarketSetting{.name = "MARKET_BOOTSTRAP_USER_EMAIL",
                  .fallback = "admin@localhost",
                  .allowed = "an address with one @",
                  .secret = false,
                  .purpose = "the first user"},
    MarketSetting{.name = "MARKET_BOOTSTRAP_USER_PASSWORD",
                  .fallback = "made up",
                  .allowed = "8 to 128 characters on one line",
                  .secret = true,
                  .purpose = "and its password"},
    MarketSetting{.name = "MARKET_BOOTSTRAP_DOMAIN",
                  .fallback = "main",
                  .allowed = kText,
                  .secret = false,
                  .purpose = "the first domain's name"},
};

/// Reads settings one by one and keeps what is wrong with them.
class Reader {
 public:
  Reader(const std::map<std::string, std::string>& environment, std::vector<std::string>& faults)
      : environment_(environment), faults_(faults) {}

  std::optional<std::string> text(std::string_view key,
                                  const std::function<bool(std::string_view)>& allowed) {
    const auto at = environment_.find(std::string(key));
    if (at == environment_.end() || at->second.empty()) return std::nullopt;
    if (allowed(at->second)) return at->second;
    fault(key, at->second);
    return std::nullopt;
  }

  void seconds(std::string_view key, long long high, std::chrono::seconds& into) {
    long long value = 0;
    const auto in_range = [&](std::string_view given) {
      const auto [end, code] = std::from_chars(given.data(), given.data() + given.size(), value);
      return code == std::errc() && end == given.data() + given.size() && value >= 1 &&
             value <= high;
    };
    if (text(key, in_range)) into = std::chrono::seconds(value);
  }

 private:
  void fault(std::string_view key, const std::string& value) {
    for (const MarketSetting& row : kSettings) {
      if (row.name != key) continue;
      std::string line(key);
      line += row.secret ? " has a value that is not allowed" : " is '" + value + "'";
      faults_.push_back(line + "; it must be " + std::string(row.allowed));
    }
  }

  const std::map<std::string, std::string>& environment_;
  std::vector<std::string>& faults_;
};

bool one_line(std::string_view text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return false;
  }
  return text.size() <= 128;
}

bool no_blanks(std::string_view text) {
  for (const char c : text) {
    if (c <= 0x20 || c >= 0x7f) return false;
  }
  return text.size() <= 128;
}

bool app_key(std::string_view text) {
  return no_blanks(text) && text.find(':') == std::string_view::npos;
}

bool email(std::string_view text) {
  const auto at = text.find('@');
  return no_blanks(text) && at != std::string_view::npos && at > 0 && at + 1 < text.size() &&
         text.find('@', at + 1) == std::string_view::npos;
}

bool password(std::string_view text) { return one_line(text) && text.size() >= 8; }

std::optional<Secret<std::string>> secret(std::optional<std::string> value) {
  if (!value) return std::nullopt;
  return Secret<std::string>(std::move(*value));
}

}  // namespace

std::span<const MarketSetting> market_settings() { return kSettings; }

ParsedMarketSettings parse_market_settings(const std::map<std::string, std::string>& environment) {
  ParsedMarketSettings out;
  MarketSettings& settings = out.settings;
  Reader read(environment, out.faults);
  read.seconds("LEASE_TTL_SECS", 86'400, settings.lease_ttl);
  read.seconds("NODE_TOKEN_TTL_SECS", 604'800, settings.node_token_ttl);
  read.seconds("TASK_TOKEN_TTL_SECS", 604'800, settings.task_token_ttl);
  const auto synchronous = read.text("MARKET_SYNCHRONOUS", [](std::string_view text) {
    return text == "normal" || text == "full";
  });
  if (synchronous == "full") settings.synchronous = Synchronous::full;
  BootstrapSettings& first = settings.bootstrap;
  first.registration_secret = secret(read.text("MARKET_BOOTSTRAP_REG_SECRET", no_blanks));
  first.app_key = read.text("MARKET_BOOTSTRAP_APP_KEY", app_key);
  first.app_secret = secret(read.text("MARKET_BOOTSTRAP_APP_SECRET", no_blanks));
  first.user_email = read.text("MARKET_BOOTSTRAP_USER_EMAIL", email);
  first.user_password = secret(read.text("MARKET_BOOTSTRAP_USER_PASSWORD", password));
  first.domain = read.text("MARKET_BOOTSTRAP_DOMAIN", one_line);
  return out;
}

}  // namespace pn::market
