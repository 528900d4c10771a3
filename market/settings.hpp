#pragma once

#include "base/result.hpp"
#include "base/secret.hpp"
#include "http/url.hpp"
#include "market/database.hpp"

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pn::market {

/// What the environment says of the first credentials; what is absent is made up.
struct BootstrapSettings {
  std::optional<Secret<std::string>> registration_secret;
  std::optional<std::string> app_key;
  std::optional<Secret<std::string>> app_secret;
  std::optional<std::string> user_email;
  std::optional<Secret<std::string>> user_password;
  std::optional<std::string> domain;  ///< a name
};

/// How one market runs. bin fills the first block from its command line.
struct MarketSettings {
  std::string listen = "127.0.0.1:8480";
  std::string public_url{};  ///< empty: "http://<listener>"
  std::filesystem::path data_dir;

  std::chrono::seconds lease_ttl{30};
  std::chrono::seconds node_token_ttl{3600};
  std::chrono::seconds task_token_ttl{3600};
  std::chrono::seconds grant_ttl{3600};
  std::chrono::seconds refresh_ttl{30 * 24 * 3600};
  std::chrono::milliseconds sweep_interval{1000};
  std::int64_t chain_id = 8453;
  Synchronous synchronous = Synchronous::normal;
  BootstrapSettings bootstrap;
};

/// One row of the table that parsing, help and docs/reference/settings.md share.
struct MarketSetting {
  std::string_view name;
  std::string_view fallback;  ///< the default as shown
  std::string_view allowed;
  bool secret = false;
  std::string_view purpose;
};
std::span<const MarketSetting> market_settings();

/// What of `environment` the market knows; other names are ignored, an empty value is an absent
/// one. On failure: every fault, one sentence each, naming the setting, its value (never a
/// secret's) and what is allowed.
struct ParsedMarketSettings {
  MarketSettings settings;
  std::vector<std::string> faults;
};
ParsedMarketSettings parse_market_settings(const std::map<std::string, std::string>& environment);

}  // namespace pn::market
