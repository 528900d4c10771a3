#include "node/config.hpp"

#include "auth/wallet.hpp"
#include "base/log.hpp"
#include "base/result.hpp"
#include "base/secret.hpp"
#include "base/semver.hpp"
#include "http/client.hpp"
#include "http/extra_ca.hpp"
#include "http/proxy.hpp"
#include "http/server.hpp"
#include "http/url.hpp"
#include "node/config_reader.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pn::node {
namespace {

namespace fs = std::filesystem;

template <class Duration>
void read_duration(SettingReader& reader, std::string_view name, Duration& into) {
  if (const auto value = reader.whole(name)) into = Duration(*value);
}

void read_identity(SettingReader& reader, const Host& host, Config& config) {
  if (auto value = reader.secret("REG_SECRET")) config.reg_secret = *std::move(value);
  if (auto value = reader.secret("SECP256K1_PRIVHEX")) {
    if (!auth::Wallet::from_hex(*value)) {
      reader.wrong(SettingReader::row_of("SECP256K1_PRIVHEX"), "");
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
    if (!is_semver(config.node_version))
      reader.wrong(SettingReader::row_of("NODE_VERSION"), *value);
  }
}

void read_tokens(SettingReader& reader, Config& config) {
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

void read_leases(SettingReader& reader, Config& config) {
  if (const auto value = reader.whole("MAX_CONCURRENCY")) {
    config.max_concurrency = static_cast<std::size_t>(*value);
  }
  config.capability_concurrency = reader.caps("CAPABILITY_CONCURRENCY");
  if (const auto value = reader.whole("BREAKER_FAILURES")) {
    config.breaker_failures = static_cast<int>(*value);
  }
  read_duration(reader, "BREAKER_WINDOW_SECS", config.breaker_window);
  read_duration(reader, "STALL_TIMEOUT_SECS", config.stall_timeout);
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

void read_folders(SettingReader& reader, const Host& host, Config& config) {
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
  read_duration(reader, "OUTBOX_MAX_AGE_HOURS", config.outbox_max_age);
  if (const auto value = reader.whole("DISK_MIN_FREE_MB")) {
    config.disk_min_free_mb = static_cast<std::uint64_t>(*value);
  }
  if (const auto value = reader.whole("DISK_MAX_USED_PCT")) {
    config.disk_max_used_pct = static_cast<int>(*value);
  }
  if (const auto value = reader.whole("INODE_MAX_USED_PCT")) {
    config.inode_max_used_pct = static_cast<int>(*value);
  }
  if (const auto value = reader.whole("CACHE_MAX_GB")) {
    config.cache_max_gb = static_cast<std::uint64_t>(*value);
  }
  if (const auto value = reader.whole("TASK_MAX_DISK_MB")) {
    config.task_max_disk_mb = static_cast<std::uint64_t>(*value);
  }
  read_duration(reader, "DRAIN_TIMEOUT_SECS", config.drain_timeout);
  read_duration(reader, "CANCEL_GRACE_SECS", config.cancel_grace);
}

/// Proxy variables are read in lower case too, as every other program does.
std::string proxy_text(SettingReader& reader, std::string_view name) {
  if (const auto value = reader.given(lower_case(name))) return *value;
  return reader.text(name).value_or("");
}

Secret<std::string> read_proxy(SettingReader& reader, std::string_view name) {
  const std::string value = proxy_text(reader, name);
  // libcurl understands more than a URL of ours ("host:3128", "socks5://..."): only what can never
  // work is refused.
  const bool printable =
      std::all_of(value.begin(), value.end(), [](char c) { return c > ' ' && c < '\x7f'; });
  if (!printable) {
    reader.faults.push_back(std::string(name) + ": must be a proxy's URL without spaces");
  } else if (const std::optional<Error> fault = http::check_proxy(name, value)) {
    reader.faults.push_back(fault->detail);
  }
  return Secret<std::string>(value);
}

void read_transfers(SettingReader& reader, const Host& host, Config& config) {
  if (const auto value = reader.whole("TRANSFER_LOW_SPEED_BYTES")) {
    config.transfer_low_speed_bytes = static_cast<std::uint32_t>(*value);
  }
  read_duration(reader, "TRANSFER_LOW_SPEED_SECS", config.transfer_low_speed_time);
  if (const auto value = reader.whole("DOWNLOAD_PARALLEL")) {
    config.download_parallel = static_cast<std::size_t>(*value);
  }
  constexpr unsigned kMostByDefault = 8;
  config.upload_parallel = std::clamp(host.cores, 1U, kMostByDefault);
  if (const auto value = reader.whole("UPLOAD_PARALLEL")) {
    config.upload_parallel = static_cast<std::size_t>(*value);
  }
  if (const auto value = reader.whole("UPLOAD_PART_RETRIES")) {
    config.upload_part_retries = static_cast<int>(*value);
  }
}

void read_network(SettingReader& reader, Config& config) {
  read_duration(reader, "REQUEST_TIMEOUT_SECS", config.request_timeout);
  config.allow_plain_http = reader.flag("ALLOW_PLAIN_HTTP");
  if (const auto value = reader.text("EXTRA_CA_FILE")) {
    config.extra_ca_file = *value;
    const Result<std::unique_ptr<http::ExtraCa>> loaded = http::ExtraCa::load(*value);
    if (!loaded) reader.faults.push_back(loaded.error().detail);
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

void read_runners(SettingReader& reader, Config& config) {
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
  SettingReader reader(environment);
  ParsedConfig out;
  read_identity(reader, host, out.config);
  read_tokens(reader, out.config);
  read_leases(reader, out.config);
  read_folders(reader, host, out.config);
  read_network(reader, out.config);
  read_transfers(reader, host, out.config);
  out.config.log_format = reader.choice("LOG_FORMAT") == 0 ? log::Format::json : log::Format::text;
  constexpr log::Level kLevels[] = {
      log::Level::debug, log::Level::info, log::Level::warn, log::Level::error};
  out.config.log_level = kLevels[reader.choice("LOG_LEVEL")];
  read_runners(reader, out.config);
  out.faults = std::move(reader.faults);
  out.doubts = std::move(reader.doubts);
  out.secrets = std::move(reader.secrets);
  return out;
}

http::ClientOptions client_options(const Config& config) {
  http::ClientOptions options;
  options.user_agent = "posenode/" + config.node_version;
  options.https_proxy = config.https_proxy.reveal();
  options.http_proxy = config.http_proxy.reveal();
  options.no_proxy = config.no_proxy;
  options.extra_ca_file = config.extra_ca_file.string();
  options.allow_plain_http = config.allow_plain_http;
  return options;
}

}  // namespace pn::node
