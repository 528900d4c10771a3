#pragma once

#include "base/ids.hpp"
#include "base/log.hpp"
#include "base/secret.hpp"
#include "base/time.hpp"
#include "http/client.hpp"
#include "http/server.hpp"
#include "http/url.hpp"

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace pn::node {

using Environment = std::map<std::string, std::string>;

/// What `posenode run` was told, checked (settings.hpp names and explains each). A value; default
/// constructed it holds the literal defaults.
struct Config {
  Secret<std::string> reg_secret;
  Secret<std::string> private_key;  ///< hex, as given; auth::Wallet::from_hex accepts it
  http::Url dms_base_url = http::Url::parse("https://dms.auki.network/v1").value();
  http::Url dds_base_url = http::Url::parse("https://dds.auki.network").value();
  std::string client_id;
  std::string node_version;

  std::chrono::seconds register_interval{120};
  int register_max_retry = -1;
  double token_safety_ratio = 0.75;
  int token_reauth_max_retries = 3;
  Millis token_reauth_jitter{500};

  std::size_t max_concurrency = 1;
  Millis poll_backoff_min{1000};
  Millis poll_backoff_max{30'000};
  std::chrono::seconds long_poll{30};  ///< zero: off
  double heartbeat_min_ratio = 0.25;
  double heartbeat_max_ratio = 0.35;
  Millis heartbeat_jitter{250};
  std::optional<Millis> heartbeat_timeout;                   ///< nothing: by the lease time
  std::optional<Millis> lease_fence_margin;                  ///< nothing: by the lease time
  std::map<Capability, std::size_t> capability_concurrency;  ///< absent: as many as slots
  int breaker_failures = 5;
  std::chrono::seconds breaker_window{60};
  std::chrono::seconds stall_timeout{0};  ///< zero: off

  std::filesystem::path state_dir;
  std::filesystem::path work_dir;
  std::chrono::hours workspace_keep_failed{24};
  std::chrono::hours outbox_max_age{168};  ///< then an outcome is set aside
  std::uint64_t disk_min_free_mb = 2048;
  int disk_max_used_pct = 90;
  int inode_max_used_pct = 80;
  std::uint64_t cache_max_gb = 20;        ///< zero: no cache
  std::uint64_t task_max_disk_mb = 0;     ///< zero: no limit
  std::chrono::seconds drain_timeout{0};  ///< zero: until done
  std::chrono::seconds cancel_grace{30};

  std::chrono::seconds request_timeout{60};
  std::uint32_t transfer_low_speed_bytes = 1024;
  std::chrono::seconds transfer_low_speed_time{30};
  std::size_t download_parallel = 4;
  std::size_t upload_parallel = 1;  ///< by default as many as there are cores, up to 8
  int upload_part_retries = 10;
  bool allow_plain_http = false;
  std::filesystem::path extra_ca_file;  ///< empty: none
  Secret<std::string> https_proxy;      ///< empty: none; may hold a password
  Secret<std::string> http_proxy;
  std::string no_proxy;
  http::ListenAddress status_addr{.address = "127.0.0.1", .port = 9464};

  log::Format log_format = log::Format::json;
  log::Level log_level = log::Level::info;

  bool enable_noop = false;
  std::vector<Capability> noop_capabilities;
  Millis noop_sleep{5000};
  std::string sfm_colmap = "colmap";
  std::optional<int> sfm_threads;  ///< nothing: all cores
};

/// What the defaults depend on besides the environment; bin finds it out.
struct Host {
  bool root = false;
  unsigned cores = 1;
  std::string build_version;  ///< semver
  std::string uuid;           ///< random, for CLIENT_ID
};

/// Where a secret was found: for people, never its value.
struct SecretOrigin {
  std::string name;   ///< "REG_SECRET"
  std::string where;  ///< "REG_SECRET", "REG_SECRET_FILE=/run/secrets/x", "credential reg_secret"

  friend bool operator==(const SecretOrigin&, const SecretOrigin&) = default;
};

/// One thing wrong with one setting: "REQUEST_TIMEOUT_SECS=abc: must be a whole number from 1 to
/// 3600". Never holds a secret's value.
struct ParsedConfig {
  Config config;                    ///< to be used only when `faults` is empty
  std::vector<std::string> faults;  ///< every one there is
  std::vector<std::string> doubts;  ///< what works and should be mended (a secret's file is open)
  std::vector<SecretOrigin> secrets;
};

/// Checks the whole map; unknown names are ignored, an empty value means the default. Reads the
/// files that `*_FILE` settings name, and systemd's credentials: call it before the loops run.
ParsedConfig parse_config(const Environment& environment, const Host& host);

/// How both HTTP clients of a node are to be made.
http::ClientOptions client_options(const Config& config);

}  // namespace pn::node
