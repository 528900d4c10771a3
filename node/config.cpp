#include "node/config.hpp"

#include "auth/wallet.hpp"
#include "base/file.hpp"
#include "base/ids.hpp"
#include "base/log.hpp"
#include "base/result.hpp"
#include "base/secret.hpp"
#include "http/client.hpp"
#include "http/server.hpp"
#include "http/url.hpp"
#include "node/settings.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace pn::node {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kSecretFileLimit = 64 * 1024;

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

template <class N>
std::optional<N> parse_number(std::string_view text) {
  N value{};
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failed != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

bool all_of_class(std::string_view text, bool (*member)(char)) {
  return !text.empty() && std::all_of(text.begin(), text.end(), member);
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_version_char(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-';
}

/// Dot-separated identifiers of semver 2.0 (sections 9 and 10).
bool are_identifiers(std::string_view text, bool numbers_without_zeros) {
  for (;;) {
    const std::size_t dot = text.find('.');
    const std::string_view part = text.substr(0, dot);
    if (!all_of_class(part, is_version_char)) return false;
    if (numbers_without_zeros && part.size() > 1 && part.front() == '0' &&
        all_of_class(part, is_digit)) {
      return false;
    }
    if (dot == std::string_view::npos) return true;
    text.remove_prefix(dot + 1);
  }
}

bool is_semver(std::string_view text) {
  const std::size_t plus = text.find('+');
  if (plus != std::string_view::npos) {
    if (!are_identifiers(text.substr(plus + 1), false)) return false;
    text = text.substr(0, plus);
  }
  const std::size_t dash = text.find('-');
  if (dash != std::string_view::npos) {
    if (!are_identifiers(text.substr(dash + 1), true)) return false;
    text = text.substr(0, dash);
  }
  int parts = 0;
  for (;; ++parts) {
    const std::size_t dot = text.find('.');
    const std::string_view part = text.substr(0, dot);
    if (!all_of_class(part, is_digit) || (part.size() > 1 && part.front() == '0')) return false;
    if (dot == std::string_view::npos) break;
    text.remove_prefix(dot + 1);
  }
  return parts == 2;
}

bool is_capability(std::string_view text) {
  return text.size() > 1 && text.front() == '/' &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < '\x7f'; });
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

/// Reads settings by their row of the table and gathers what is wrong with them.
class Reader {
 public:
  explicit Reader(const Environment& environment) : environment_(environment) {}

  std::vector<std::string> faults;

  /// The value as given; nothing when absent or empty.
  [[nodiscard]] std::optional<std::string> given(std::string_view name) const {
    const auto at = environment_.find(std::string(name));
    if (at == environment_.end() || at->second.empty()) return std::nullopt;
    return at->second;
  }

  std::optional<std::string> text(std::string_view name) {
    const Setting& row = row_of(name);
    std::optional<std::string> value = given(name);
    if (!value && row.has == DefaultKind::literal) value = std::string(row.fallback);
    return value;
  }

  std::optional<std::int64_t> whole(std::string_view name) {
    const std::optional<std::string> value = text(name);
    if (!value) return std::nullopt;
    const Setting& row = row_of(name);
    const std::optional<std::int64_t> number = parse_number<std::int64_t>(*value);
    if (!number || static_cast<double>(*number) < row.low ||
        static_cast<double>(*number) > row.high) {
      wrong(row, *value);
      return std::nullopt;
    }
    return number;
  }

  std::optional<double> decimal(std::string_view name) {
    const std::optional<std::string> value = text(name);
    if (!value) return std::nullopt;
    const Setting& row = row_of(name);
    const std::optional<double> number = parse_number<double>(*value);
    const bool fits = number && std::isfinite(*number) &&
                      (row.kind == SettingKind::ratio ? *number > 0 && *number < 1
                                                      : *number >= row.low && *number <= row.high);
    if (!fits) {
      wrong(row, *value);
      return std::nullopt;
    }
    return number;
  }

  bool flag(std::string_view name) {
    const std::string value = lower(text(name).value_or("false"));
    if (value == "true" || value == "1") return true;
    if (value != "false" && value != "0") wrong(row_of(name), *text(name));
    return false;
  }

  /// Which of the row's choices it is; 0 after a fault.
  std::size_t choice(std::string_view name) {
    const Setting& row = row_of(name);
    const std::string value = lower(*text(name));
    std::string_view rest = row.choices;
    for (std::size_t index = 0;; ++index) {
      const std::size_t bar = rest.find('|');
      if (rest.substr(0, bar) == value) return index;
      if (bar == std::string_view::npos) break;
      rest.remove_prefix(bar + 1);
    }
    wrong(row, *text(name));
    return 0;
  }

  std::optional<http::Url> url(std::string_view name) {
    const std::string value = *text(name);
    Result<http::Url> parsed = http::Url::parse(value);
    if (!parsed) {
      wrong(row_of(name), value);
      return std::nullopt;
    }
    return *std::move(parsed);
  }

  std::optional<http::ListenAddress> address(std::string_view name) {
    const std::string value = *text(name);
    Result<http::ListenAddress> parsed = http::parse_listen_address(value);
    if (!parsed) {
      wrong(row_of(name), value);
      return std::nullopt;
    }
    return *std::move(parsed);
  }

  std::vector<Capability> capabilities(std::string_view name) {
    std::vector<Capability> out;
    const std::string value = text(name).value_or("");
    std::string_view rest = value;
    while (!rest.empty()) {
      const std::size_t comma = rest.find(',');
      const std::string_view item = trim(rest.substr(0, comma));
      rest.remove_prefix(comma == std::string_view::npos ? rest.size() : comma + 1);
      if (item.empty()) continue;
      if (!is_capability(item)) {
        wrong(row_of(name), value);
        return {};
      }
      out.emplace_back(std::string(item));
    }
    return out;
  }

  /// A required secret: the setting itself, or the file that `<name>_FILE` names; not both.
  std::optional<Secret<std::string>> secret(std::string_view name) {
    const std::string in_file = std::string(name) + "_FILE";
    const std::optional<std::string> direct = given(name);
    const std::optional<std::string> path = given(in_file);
    if (direct && path) {
      faults.push_back(std::string(name) + " and " + in_file + ": only one of them may be set");
      return std::nullopt;
    }
    if (direct) return Secret<std::string>(*direct);
    if (!path) {
      faults.push_back(std::string(name) + " is not set: it is required (or " + in_file +
                       "), and must be " + what_it_must_be(row_of(name)));
      return std::nullopt;
    }
    Result<std::string> bytes = read_file(*path, kSecretFileLimit);
    if (!bytes) {
      faults.push_back(in_file + "=" + *path + ": " + bytes.error().detail);
      return std::nullopt;
    }
    std::string value = *std::move(bytes);
    while (value.ends_with('\n') || value.ends_with('\r')) value.pop_back();
    if (value.empty()) {
      faults.push_back(in_file + "=" + *path + ": the file is empty");
      return std::nullopt;
    }
    return Secret<std::string>(std::move(value));
  }

  void wrong(const Setting& row, std::string_view value) {
    faults.push_back(shown(row, value) + ": must be " + what_it_must_be(row));
  }

  /// "NAME=value", or "NAME" alone when the value is secret; what stands before an @ mostly is.
  static std::string shown(const Setting& row, std::string_view value) {
    if (row.secret || value.find('@') != std::string_view::npos) return std::string(row.name);
    return std::string(row.name) + "=" + std::string(value.substr(0, 200));
  }

  static const Setting& row_of(std::string_view name) {
    const Setting* row = find_setting(name);
    if (row == nullptr) throw std::logic_error("no such setting: " + std::string(name));
    return *row;
  }

 private:
  static std::string what_it_must_be(const Setting& row) {
    return row.kind == SettingKind::text ? "not empty" : allowed(row);
  }

  const Environment& environment_;
};

template <class Duration>
void read_duration(Reader& reader, std::string_view name, Duration& into) {
  if (const auto value = reader.whole(name)) into = Duration(*value);
}

void read_identity(Reader& reader, const Host& host, Config& config) {
  if (auto value = reader.secret("REG_SECRET")) config.reg_secret = *std::move(value);
  if (auto value = reader.secret("SECP256K1_PRIVHEX")) {
    if (!auth::Wallet::from_hex(*value)) {
      reader.wrong(Reader::row_of("SECP256K1_PRIVHEX"), "");
    }
    config.private_key = *std::move(value);
  }
  if (auto value = reader.url("DMS_BASE_URL")) config.dms_base_url = *std::move(value);
  if (auto value = reader.url("DDS_BASE_URL")) config.dds_base_url = *std::move(value);
  config.client_id = reader.text("CLIENT_ID").value_or("posemesh-compute-node/" + host.uuid);
  // It becomes a header's value.
  if (!std::all_of(config.client_id.begin(), config.client_id.end(), [](char c) {
        return c >= ' ' && c < '\x7f';
      })) {
    reader.faults.emplace_back("CLIENT_ID: must be printable ASCII");
  }
  config.node_version = host.build_version;
  if (const auto value = reader.text("NODE_VERSION")) {
    config.node_version = value->starts_with('v') ? value->substr(1) : *value;
    if (!is_semver(config.node_version)) reader.wrong(Reader::row_of("NODE_VERSION"), *value);
  }
}

void read_tokens(Reader& reader, Config& config) {
  read_duration(reader, "REGISTER_INTERVAL_SECS", config.register_interval);
  if (const auto value = reader.whole("REGISTER_MAX_RETRY")) {
    config.register_max_retry = static_cast<int>(*value);
  }
  if (const auto value = reader.decimal("TOKEN_SAFETY_RATIO")) config.token_safety_ratio = *value;
  if (const auto value = reader.whole("TOKEN_REAUTH_MAX_RETRIES")) {
    config.token_reauth_max_retries = static_cast<int>(*value);
  }
  read_duration(reader, "TOKEN_REAUTH_JITTER_MS", config.token_reauth_jitter);
}

void read_leases(Reader& reader, Config& config) {
  if (const auto value = reader.whole("MAX_CONCURRENCY")) {
    config.max_concurrency = static_cast<std::size_t>(*value);
  }
  read_duration(reader, "POLL_BACKOFF_MS_MIN", config.poll_backoff_min);
  read_duration(reader, "POLL_BACKOFF_MS_MAX", config.poll_backoff_max);
  if (config.poll_backoff_min > config.poll_backoff_max) {
    reader.faults.push_back(
        "POLL_BACKOFF_MS_MIN=" + std::to_string(config.poll_backoff_min.count()) +
        ": must not be above POLL_BACKOFF_MS_MAX (" +
        std::to_string(config.poll_backoff_max.count()) + ")");
  }
  read_duration(reader, "LONG_POLL_SECS", config.long_poll);
  const auto low = reader.decimal("HEARTBEAT_MIN_RATIO");
  const auto high = reader.decimal("HEARTBEAT_MAX_RATIO");
  if (low) config.heartbeat_min_ratio = *low;
  if (high) config.heartbeat_max_ratio = *high;
  if (low && high && *low > *high) {
    reader.faults.push_back("HEARTBEAT_MIN_RATIO=" + *reader.text("HEARTBEAT_MIN_RATIO") +
                            ": must not be above HEARTBEAT_MAX_RATIO (" +
                            *reader.text("HEARTBEAT_MAX_RATIO") + ")");
  }
  read_duration(reader, "HEARTBEAT_JITTER_MS", config.heartbeat_jitter);
  if (const auto value = reader.whole("HEARTBEAT_TIMEOUT_MS")) {
    config.heartbeat_timeout = Millis(*value);
  }
  if (const auto value = reader.whole("LEASE_FENCE_MARGIN_MS")) {
    config.lease_fence_margin = Millis(*value);
  }
  if (config.heartbeat_timeout && config.lease_fence_margin &&
      *config.heartbeat_timeout > *config.lease_fence_margin) {
    reader.faults.push_back(
        "HEARTBEAT_TIMEOUT_MS=" + std::to_string(config.heartbeat_timeout->count()) +
        ": must not be above LEASE_FENCE_MARGIN_MS (" +
        std::to_string(config.lease_fence_margin->count()) + ")");
  }
}

void read_folders(Reader& reader, const Host& host, Config& config) {
  if (const auto value = reader.text("STATE_DIR")) {
    config.state_dir = *value;
  } else if (host.root) {
    config.state_dir = "/var/lib/posenode";
  } else if (const auto state_home = reader.given("XDG_STATE_HOME")) {
    config.state_dir = fs::path(*state_home) / "posenode";
  } else if (const auto home = reader.given("HOME")) {
    config.state_dir = fs::path(*home) / ".local/state/posenode";
  } else {
    reader.faults.emplace_back(
        "STATE_DIR is not set, and neither XDG_STATE_HOME nor HOME is: must be a path");
  }
  config.work_dir = config.state_dir / "work";
  if (const auto value = reader.text("WORK_DIR")) config.work_dir = *value;
  read_duration(reader, "WORKSPACE_KEEP_FAILED_HOURS", config.workspace_keep_failed);
  read_duration(reader, "DRAIN_TIMEOUT_SECS", config.drain_timeout);
  read_duration(reader, "CANCEL_GRACE_SECS", config.cancel_grace);
}

/// Proxy variables are read in lower case too, as every other program does.
std::string proxy_text(Reader& reader, std::string_view name) {
  if (const auto value = reader.given(lower(name))) return *value;
  return reader.text(name).value_or("");
}

Secret<std::string> read_proxy(Reader& reader, std::string_view name) {
  const std::string value = proxy_text(reader, name);
  // libcurl understands more than a URL of ours ("host:3128", "socks5://..."): only what can never
  // work is refused.
  const bool printable =
      std::all_of(value.begin(), value.end(), [](char c) { return c > ' ' && c < '\x7f'; });
  if (!printable) {
    reader.faults.push_back(std::string(name) + ": must be a proxy's URL without spaces");
  }
  return Secret<std::string>(value);
}

void read_network(Reader& reader, Config& config) {
  read_duration(reader, "REQUEST_TIMEOUT_SECS", config.request_timeout);
  if (const auto value = reader.whole("TRANSFER_LOW_SPEED_BYTES")) {
    config.transfer_low_speed_bytes = static_cast<std::uint32_t>(*value);
  }
  read_duration(reader, "TRANSFER_LOW_SPEED_SECS", config.transfer_low_speed_time);
  config.allow_plain_http = reader.flag("ALLOW_PLAIN_HTTP");
  if (const auto value = reader.text("EXTRA_CA_FILE")) {
    config.extra_ca_file = *value;
    const Result<UniqueFd> readable = open_read(*value);
    if (!readable) {
      reader.faults.push_back("EXTRA_CA_FILE=" + *value + ": " + readable.error().detail);
    }
  }
  config.https_proxy = read_proxy(reader, "HTTPS_PROXY");
  config.http_proxy = read_proxy(reader, "HTTP_PROXY");
  config.no_proxy = proxy_text(reader, "NO_PROXY");
  if (auto value = reader.address("STATUS_ADDR")) config.status_addr = *std::move(value);

  const auto refuse_plain = [&](std::string_view name, const http::Url& url) {
    if (config.allow_plain_http || url.scheme() == "https" || url.is_loopback()) return;
    reader.faults.push_back(std::string(name) + "=" + url.str() +
                            ": must be https (or set ALLOW_PLAIN_HTTP=true on a private network)");
  };
  refuse_plain("DMS_BASE_URL", config.dms_base_url);
  refuse_plain("DDS_BASE_URL", config.dds_base_url);
}

void read_runners(Reader& reader, Config& config) {
  config.enable_noop = reader.flag("ENABLE_NOOP");
  config.noop_capabilities = reader.capabilities("NOOP_CAPABILITIES");
  if (const auto value = reader.decimal("NOOP_SLEEP_SECS")) {
    config.noop_sleep = Millis(std::llround(*value * 1000));
  }
  config.sfm_colmap = *reader.text("SFM_COLMAP");
  if (const auto value = reader.whole("SFM_THREADS")) {
    config.sfm_threads = static_cast<int>(*value);
  }
}

}  // namespace

ParsedConfig parse_config(const Environment& environment, const Host& host) {
  Reader reader(environment);
  ParsedConfig out;
  read_identity(reader, host, out.config);
  read_tokens(reader, out.config);
  read_leases(reader, out.config);
  read_folders(reader, host, out.config);
  read_network(reader, out.config);
  out.config.log_format = reader.choice("LOG_FORMAT") == 0 ? log::Format::json : log::Format::text;
  constexpr log::Level kLevels[] = {
      log::Level::debug, log::Level::info, log::Level::warn, log::Level::error};
  out.config.log_level = kLevels[reader.choice("LOG_LEVEL")];
  read_runners(reader, out.config);
  out.faults = std::move(reader.faults);
  return out;
}

http::ClientOptions client_options(const Config& config) {
  http::ClientOptions options;
  options.user_agent = "posenode/" + config.node_version;
  // One proxy serves a client; what the node talks to is all https, or all http on a private
  // network.
  options.proxy = config.dms_base_url.scheme() == "https" ? config.https_proxy.reveal()
                                                          : config.http_proxy.reveal();
  options.no_proxy = config.no_proxy;
  options.extra_ca_file = config.extra_ca_file.string();
  options.allow_plain_http = config.allow_plain_http;
  return options;
}

}  // namespace pn::node
