#pragma once

#include <span>
#include <string>
#include <string_view>

namespace pn::node {

/// How a setting's text is read, and with it what is allowed.
enum class SettingKind {
  text,          ///< anything
  whole,         ///< a whole number from `low` to `high`
  decimal,       ///< a number from `low` to `high`
  ratio,         ///< a number above 0 and below 1
  flag,          ///< true or false
  choice,        ///< one of `choices`, split at "|"
  url,           ///< absolute http or https
  address,       ///< host:port to listen on
  path,          ///< a file or a folder
  version,       ///< semver, a leading v is dropped
  key,           ///< 32 bytes in hex, a valid secp256k1 key
  capabilities,  ///< comma list of "/name/v1"
  caps,          ///< comma list of "/name/v1=2"
};

enum class DefaultKind {
  literal,   ///< `fallback` is parsed like a value
  computed,  ///< `fallback` says in words what an absent setting means
  required,  ///< there is none
};

/// One row of the only table of settings: config.cpp parses by it, `posenode run --help` prints
/// it, and tests compare .env.example and docs/reference/settings.md with it.
struct Setting {
  std::string_view name;
  SettingKind kind = SettingKind::text;
  DefaultKind has = DefaultKind::literal;
  std::string_view fallback{};  ///< the default as shown
  double low = 0;
  double high = 0;
  std::string_view choices{};
  bool secret = false;  ///< its value is never shown
  std::string_view purpose{};
};

/// Every setting of `posenode run`, in the order in which help and reference show them.
std::span<const Setting> settings();

/// The row of that name; null when there is none.
const Setting* find_setting(std::string_view name);

/// "a whole number from 1 to 3600": what a fault and the reference page say.
std::string allowed(const Setting& setting);

}  // namespace pn::node
