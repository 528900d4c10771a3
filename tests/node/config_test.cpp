#include "node/config.hpp"

#include "base/ids.hpp"
#include "base/log.hpp"
#include "base/time.hpp"
#include "node/settings.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <catch2/catch.hpp>
#include <unistd.h>

namespace pn::node {
namespace {

const char* const kKey = "4c0883a69102937d6231471b5dbb6204fe5129617082798ce3f4fdf2548b6f90";

Environment least() {
  return {{"REG_SECRET", "s3cret"}, {"SECP256K1_PRIVHEX", kKey}, {"STATE_DIR", "/s"}};
}

Host host() { return {.root = false, .cores = 16, .build_version = "0.1.0", .uuid = "u-u-i-d"}; }

ParsedConfig with(const Environment& more) {
  Environment all = least();
  for (const auto& [name, value] : more) all[name] = value;
  return parse_config(all, host());
}

/// A file that is gone with the object.
struct TempFile {
  explicit TempFile(const std::string& text)
      : path(std::filesystem::temp_directory_path() /
             ("pn_config_test_" + std::to_string(::getpid()))) {
    std::ofstream(path) << text;
  }
  ~TempFile() { std::filesystem::remove(path); }
  std::filesystem::path path;
};

struct Row {
  const char* name;
  const char* good;
  std::function<bool(const Config&)> took;      // the good value
  std::function<bool(const Config&)> fallback;  // without one
  std::vector<const char*> bad;
};

std::vector<Row> rows() {
  using C = Config;
  using std::chrono::hours;
  using std::chrono::seconds;
  return {
      {"REG_SECRET",
       "abc",
       [](const C& c) { return c.reg_secret.reveal() == "abc"; },
       [](const C& c) { return c.reg_secret.reveal() == "s3cret"; },
       {}},
      {"SECP256K1_PRIVHEX",
       "0x4C0883A69102937D6231471B5DBB6204FE5129617082798CE3F4FDF2548B6F90",
       [](const C& c) { return c.private_key.reveal().starts_with("0x4C"); },
       [](const C& c) { return c.private_key.reveal() == kKey; },
       {"12", "zz", "0000000000000000000000000000000000000000000000000000000000000000"}},
      {"DMS_BASE_URL",
       "http://127.0.0.1:8480/v1/",
       [](const C& c) { return c.dms_base_url.port() == 8480; },
       [](const C& c) { return c.dms_base_url.str() == "https://dms.auki.network/v1"; },
       {"dms", "ftp://x", "http://dms.example/v1", "https://u:p@x/"}},
      {"DDS_BASE_URL",
       "https://dds.example",
       [](const C& c) { return c.dds_base_url.host() == "dds.example"; },
       [](const C& c) { return c.dds_base_url.host() == "dds.auki.network"; },
       {"//x", "http://10.0.0.1"}},
      {"CLIENT_ID",
       "me/1",
       [](const C& c) { return c.client_id == "me/1"; },
       [](const C& c) { return c.client_id == "posemesh-compute-node/u-u-i-d"; },
       {"a\nb", "\xc3\xa4"}},
      {"NODE_VERSION",
       "v1.2.3-rc.1+b5",
       [](const C& c) { return c.node_version == "1.2.3-rc.1+b5"; },
       [](const C& c) { return c.node_version == "0.1.0"; },
       {"1.2", "1.2.3.4", "01.2.3", "one", "1.2.3-", "1.2.3-01", "1.2.3+", "v"}},
      {"REGISTER_INTERVAL_SECS",
       "7",
       [](const C& c) { return c.register_interval == seconds(7); },
       [](const C& c) { return c.register_interval == seconds(120); },
       {"0", "-1", "1.5", "x", "86401"}},
      {"REGISTER_MAX_RETRY",
       "3",
       [](const C& c) { return c.register_max_retry == 3; },
       [](const C& c) { return c.register_max_retry == -1; },
       {"-2", "x"}},
      {"TOKEN_SAFETY_RATIO",
       "0.5",
       [](const C& c) { return c.token_safety_ratio == 0.5; },
       [](const C& c) { return c.token_safety_ratio == 0.75; },
       {"0", "1", "nan", "inf", "x", "-0.1"}},
      {"TOKEN_REAUTH_MAX_RETRIES",
       "0",
       [](const C& c) { return c.token_reauth_max_retries == 0; },
       [](const C& c) { return c.token_reauth_max_retries == 3; },
       {"-1", "x"}},
      {"TOKEN_REAUTH_JITTER_MS",
       "0",
       [](const C& c) { return c.token_reauth_jitter == Millis(0); },
       [](const C& c) { return c.token_reauth_jitter == Millis(500); },
       {"-1", "1s"}},
      {"MAX_CONCURRENCY",
       "8",
       [](const C& c) { return c.max_concurrency == 8; },
       [](const C& c) { return c.max_concurrency == 1; },
       {"0", "257", "x", "99999999999999999999"}},
      {"CAPABILITY_CONCURRENCY",
       "/a/v1=1, /b/v1=2",
       [](const C& c) {
         return c.capability_concurrency == std::map<Capability, std::size_t>{
                                                {Capability("/a/v1"), 1}, {Capability("/b/v1"), 2}};
       },
       [](const C& c) { return c.capability_concurrency.empty(); },
       {"/a/v1", "/a/v1=0", "/a/v1=257", "a=1", "/a/v1=x"}},
      {"STALL_TIMEOUT_SECS",
       "600",
       [](const C& c) { return c.stall_timeout == std::chrono::seconds(600); },
       [](const C& c) { return c.stall_timeout.count() == 0; },
       {"-1", "x"}},
      {"BREAKER_FAILURES",
       "0",
       [](const C& c) { return c.breaker_failures == 0; },
       [](const C& c) { return c.breaker_failures == 5; },
       {"-1", "1001"}},
      {"BREAKER_WINDOW_SECS",
       "10",
       [](const C& c) { return c.breaker_window == std::chrono::seconds(10); },
       [](const C& c) { return c.breaker_window == std::chrono::seconds(60); },
       {"0", "1m"}},
      {"OUTBOX_MAX_AGE_HOURS",
       "1",
       [](const C& c) { return c.outbox_max_age == std::chrono::hours(1); },
       [](const C& c) { return c.outbox_max_age == std::chrono::hours(168); },
       {"0", "7d"}},
      {"DISK_MIN_FREE_MB",
       "0",
       [](const C& c) { return c.disk_min_free_mb == 0; },
       [](const C& c) { return c.disk_min_free_mb == 2048; },
       {"-1", "2G"}},
      {"DISK_MAX_USED_PCT",
       "100",
       [](const C& c) { return c.disk_max_used_pct == 100; },
       [](const C& c) { return c.disk_max_used_pct == 90; },
       {"0", "101", "90%"}},
      {"INODE_MAX_USED_PCT",
       "95",
       [](const C& c) { return c.inode_max_used_pct == 95; },
       [](const C& c) { return c.inode_max_used_pct == 80; },
       {"0", "101"}},
      {"POLL_BACKOFF_MS_MIN",
       "50",
       [](const C& c) { return c.poll_backoff_min == Millis(50); },
       [](const C& c) { return c.poll_backoff_min == Millis(1000); },
       {"0", "x", "30001"}},
      {"POLL_BACKOFF_MS_MAX",
       "2000",
       [](const C& c) { return c.poll_backoff_max == Millis(2000); },
       [](const C& c) { return c.poll_backoff_max == Millis(30000); },
       {"0", "x", "999"}},
      {"LONG_POLL_SECS",
       "0",
       [](const C& c) { return c.long_poll == seconds(0); },
       [](const C& c) { return c.long_poll == seconds(30); },
       {"-1", "301"}},
      {"HEARTBEAT_MIN_RATIO",
       "0.1",
       [](const C& c) { return c.heartbeat_min_ratio == 0.1; },
       [](const C& c) { return c.heartbeat_min_ratio == 0.25; },
       {"0", "1", "0.36"}},
      {"HEARTBEAT_MAX_RATIO",
       "0.9",
       [](const C& c) { return c.heartbeat_max_ratio == 0.9; },
       [](const C& c) { return c.heartbeat_max_ratio == 0.35; },
       {"0", "1.0", "0.24"}},
      {"HEARTBEAT_JITTER_MS",
       "0",
       [](const C& c) { return c.heartbeat_jitter == Millis(0); },
       [](const C& c) { return c.heartbeat_jitter == Millis(250); },
       {"-1", "60001"}},
      {"HEARTBEAT_TIMEOUT_MS",
       "900",
       [](const C& c) { return c.heartbeat_timeout == Millis(900); },
       [](const C& c) { return !c.heartbeat_timeout; },
       {"0", "x"}},
      {"LEASE_FENCE_MARGIN_MS",
       "4000",
       [](const C& c) { return c.lease_fence_margin == Millis(4000); },
       [](const C& c) { return !c.lease_fence_margin; },
       {"-1", "x"}},
      {"STATE_DIR",
       "/var/x",
       [](const C& c) { return c.state_dir == "/var/x" && c.work_dir == "/var/x/work"; },
       [](const C& c) { return c.state_dir == "/s"; },
       {}},
      {"WORK_DIR",
       "/w",
       [](const C& c) { return c.work_dir == "/w"; },
       [](const C& c) { return c.work_dir == "/s/work"; },
       {}},
      {"WORKSPACE_KEEP_FAILED_HOURS",
       "0",
       [](const C& c) { return c.workspace_keep_failed == hours(0); },
       [](const C& c) { return c.workspace_keep_failed == hours(24); },
       {"-1", "x"}},
      {"CACHE_MAX_GB",
       "0",
       [](const C& c) { return c.cache_max_gb == 0; },
       [](const C& c) { return c.cache_max_gb == 20; },
       {"-1", "0.5", "x"}},
      {"TASK_MAX_DISK_MB",
       "500",
       [](const C& c) { return c.task_max_disk_mb == 500; },
       [](const C& c) { return c.task_max_disk_mb == 0; },
       {"-1", "x"}},
      {"DRAIN_TIMEOUT_SECS",
       "8",
       [](const C& c) { return c.drain_timeout == seconds(8); },
       [](const C& c) { return c.drain_timeout == seconds(0); },
       {"-1", "x"}},
      {"CANCEL_GRACE_SECS",
       "0",
       [](const C& c) { return c.cancel_grace == seconds(0); },
       [](const C& c) { return c.cancel_grace == seconds(30); },
       {"-1", "3601"}},
      {"REQUEST_TIMEOUT_SECS",
       "5",
       [](const C& c) { return c.request_timeout == seconds(5); },
       [](const C& c) { return c.request_timeout == seconds(60); },
       {"0", "3601", "5s", " 5", "5 "}},
      {"TRANSFER_LOW_SPEED_BYTES",
       "0",
       [](const C& c) { return c.transfer_low_speed_bytes == 0; },
       [](const C& c) { return c.transfer_low_speed_bytes == 1024; },
       {"-1", "x"}},
      {"TRANSFER_LOW_SPEED_SECS",
       "3",
       [](const C& c) { return c.transfer_low_speed_time == seconds(3); },
       [](const C& c) { return c.transfer_low_speed_time == seconds(30); },
       {"0", "x"}},
      {"DOWNLOAD_PARALLEL",
       "1",
       [](const C& c) { return c.download_parallel == 1; },
       [](const C& c) { return c.download_parallel == 4; },
       {"0", "65", "x"}},
      {"UPLOAD_PARALLEL",
       "5",
       [](const C& c) { return c.upload_parallel == 5; },
       [](const C& c) { return c.upload_parallel == 8; },
       {"0", "65", "x"}},
      {"UPLOAD_PART_RETRIES",
       "0",
       [](const C& c) { return c.upload_part_retries == 0; },
       [](const C& c) { return c.upload_part_retries == 10; },
       {"-1", "x"}},
      {"ALLOW_PLAIN_HTTP",
       "TRUE",
       [](const C& c) { return c.allow_plain_http; },
       [](const C& c) { return !c.allow_plain_http; },
       {"maybe", "2"}},
      {"HTTPS_PROXY",
       "http://p:3128",
       [](const C& c) { return c.https_proxy.reveal() == "http://p:3128"; },
       [](const C& c) { return c.https_proxy.reveal().empty(); },
       {"http://user:pass word@p", "http://p:99999"}},
      {"HTTP_PROXY",
       "http://p:3128",
       [](const C& c) { return c.http_proxy.reveal() == "http://p:3128"; },
       [](const C& c) { return c.http_proxy.reveal().empty(); },
       {"a b", "http://[::1"}},
      {"NO_PROXY",
       "localhost,10.0.0.0/8",
       [](const C& c) { return c.no_proxy == "localhost,10.0.0.0/8"; },
       [](const C& c) { return c.no_proxy.empty(); },
       {}},
      {"STATUS_ADDR",
       "[::1]:0",
       [](const C& c) { return c.status_addr.address == "::1" && c.status_addr.port == 0; },
       [](const C& c) {
         return c.status_addr.address == "127.0.0.1" && c.status_addr.port == 9464;
       },
       {"x", "127.0.0.1:99999", "127.0.0.1"}},
      {"LOG_FORMAT",
       "text",
       [](const C& c) { return c.log_format == log::Format::text; },
       [](const C& c) { return c.log_format == log::Format::json; },
       {"xml"}},
      {"LOG_LEVEL",
       "debug",
       [](const C& c) { return c.log_level == log::Level::debug; },
       [](const C& c) { return c.log_level == log::Level::info; },
       {"loud"}},
      {"ENABLE_NOOP",
       "1",
       [](const C& c) { return c.enable_noop; },
       [](const C& c) { return !c.enable_noop; },
       {"yep"}},
      {"NOOP_CAPABILITIES",
       "/a/v1, /b/v1,",
       [](const C& c) {
         return c.noop_capabilities == std::vector{Capability("/a/v1"), Capability("/b/v1")};
       },
       [](const C& c) { return c.noop_capabilities.empty(); },
       {"a/v1", "/a/v1,b", "/"}},
      {"NOOP_SLEEP_SECS",
       "0.25",
       [](const C& c) { return c.noop_sleep == Millis(250); },
       [](const C& c) { return c.noop_sleep == Millis(5000); },
       {"-1", "x", "nan", "86401"}},
      {"SFM_COLMAP",
       "/opt/colmap",
       [](const C& c) { return c.sfm_colmap == "/opt/colmap"; },
       [](const C& c) { return c.sfm_colmap == "colmap"; },
       {}},
      {"SFM_THREADS",
       "3",
       [](const C& c) { return c.sfm_threads == 3; },
       [](const C& c) { return !c.sfm_threads; },
       {"0", "x"}},
  };
}

bool names(const std::vector<std::string>& faults, const std::string& name) {
  return std::any_of(faults.begin(), faults.end(), [&](const std::string& fault) {
    return fault.find(name) != std::string::npos;
  });
}

}  // namespace

TEST_CASE("config: every setting takes a good value, has its default, refuses bad ones",
          "[node][config]") {
  const ParsedConfig plain = parse_config(least(), host());
  REQUIRE(plain.faults.empty());
  for (const Row& row : rows()) {
    INFO(row.name);
    CHECK(row.fallback(plain.config));
    const ParsedConfig good = with({{row.name, row.good}});
    CHECK(good.faults.empty());
    CHECK(row.took(good.config));
    for (const char* bad : row.bad) {
      INFO(bad);
      const ParsedConfig refused = with({{row.name, bad}});
      REQUIRE_FALSE(refused.faults.empty());
      CHECK(names(refused.faults, row.name));
    }
  }
}

TEST_CASE("config: the table above has every setting", "[node][config]") {
  std::set<std::string> tested;
  for (const Row& row : rows()) tested.insert(row.name);
  for (const Setting& setting : settings()) {
    const std::string name(setting.name);
    if (name.ends_with("_FILE")) continue;  // a test of their own
    INFO(name);
    CHECK(tested.erase(name) == 1);
  }
  CHECK(tested.empty());
}

TEST_CASE("config: an empty value is the default", "[node][config]") {
  Environment empty = least();
  for (const Setting& setting : settings()) {
    if (setting.has != DefaultKind::required && setting.name != "STATE_DIR") {
      empty[std::string(setting.name)] = "";
    }
  }
  const ParsedConfig parsed = parse_config(empty, host());
  CHECK(parsed.faults.empty());
  CHECK(parsed.config.request_timeout == std::chrono::seconds(60));
  CHECK(parsed.config.client_id == "posemesh-compute-node/u-u-i-d");
}

TEST_CASE("config: what is required and missing is named, all of it at once", "[node][config]") {
  const ParsedConfig parsed =
      parse_config({{"MAX_CONCURRENCY", "no"}, {"LOG_FORMAT", "xml"}, {"HOME", "/h"}}, host());
  REQUIRE(parsed.faults.size() == 4);
  CHECK(names(parsed.faults, "REG_SECRET is not set"));
  CHECK(names(parsed.faults, "SECP256K1_PRIVHEX is not set"));
  CHECK(names(parsed.faults, "MAX_CONCURRENCY=no: must be a whole number from 1 to 256"));
  CHECK(names(parsed.faults, "LOG_FORMAT=xml: must be json or text"));
}

TEST_CASE("config: a secret's value is never shown", "[node][config]") {
  const ParsedConfig parsed = with({{"SECP256K1_PRIVHEX", "5ec7e7"},
                                    {"HTTPS_PROXY", "http://me:5ec7e7 x@p"},
                                    {"HTTP_PROXY", "http://me:5ec7e7@p:99999"},
                                    {"DDS_BASE_URL", "https://me:5ec7e7@dds.example"}});
  REQUIRE(parsed.faults.size() == 4);
  for (const std::string& fault : parsed.faults) CHECK(fault.find("5ec7e7") == std::string::npos);
}

TEST_CASE("config: secrets may come from files, but not from both", "[node][config]") {
  const TempFile file(std::string(kKey) + "\n");
  Environment environment = least();
  environment.erase("SECP256K1_PRIVHEX");
  environment["SECP256K1_PRIVHEX_FILE"] = file.path.string();
  const ParsedConfig parsed = parse_config(environment, host());
  CHECK(parsed.faults.empty());
  CHECK(parsed.config.private_key.reveal() == kKey);

  environment["SECP256K1_PRIVHEX"] = kKey;
  CHECK(names(parse_config(environment, host()).faults, "only one of them"));

  environment = least();
  environment.erase("REG_SECRET");
  environment["REG_SECRET_FILE"] = "/no/such/file";
  CHECK(names(parse_config(environment, host()).faults, "REG_SECRET_FILE=/no/such/file"));

  const TempFile empty("\n");
  // The secret itself under the wrong name: not shown again.
  environment["REG_SECRET_FILE"] = "hunter2hunter2";
  const std::vector<std::string> pasted = parse_config(environment, host()).faults;
  CHECK(names(pasted, "a secret itself goes into REG_SECRET"));
  CHECK_FALSE(names(pasted, "hunter2"));
  environment["REG_SECRET_FILE"] = empty.path.string();
  CHECK(names(parse_config(environment, host()).faults, "the file is empty"));
}

TEST_CASE("config: relations between settings are checked", "[node][config]") {
  CHECK(names(with({{"HEARTBEAT_MIN_RATIO", "0.5"}, {"HEARTBEAT_MAX_RATIO", "0.4"}}).faults,
              "must not be above HEARTBEAT_MAX_RATIO (0.4)"));
  CHECK(names(with({{"HEARTBEAT_TIMEOUT_MS", "5000"}, {"LEASE_FENCE_MARGIN_MS", "4000"}}).faults,
              "must not be above LEASE_FENCE_MARGIN_MS"));
  CHECK(with({{"DMS_BASE_URL", "http://market:8480/v1"}, {"ALLOW_PLAIN_HTTP", "true"}})
            .faults.empty());
}

TEST_CASE("config: where the state lives by default", "[node][config]") {
  Environment environment = least();
  environment.erase("STATE_DIR");
  Host as_root = host();
  as_root.root = true;
  CHECK(parse_config(environment, as_root).config.state_dir == "/var/lib/posenode");
  CHECK(names(parse_config(environment, host()).faults, "STATE_DIR"));
  environment["HOME"] = "/home/me";
  CHECK(parse_config(environment, host()).config.state_dir == "/home/me/.local/state/posenode");
  environment["XDG_STATE_HOME"] = "/x";
  CHECK(parse_config(environment, host()).config.state_dir == "/x/posenode");
}

TEST_CASE("settings: each row says what it is for and what is allowed", "[node][config]") {
  std::set<std::string_view> names_seen;
  for (const Setting& setting : settings()) {
    INFO(std::string(setting.name));
    CHECK(names_seen.insert(setting.name).second);
    CHECK_FALSE(setting.purpose.empty());
    CHECK_FALSE(allowed(setting).empty());
    CHECK(setting.fallback.empty() == (setting.has == DefaultKind::required));
    CHECK(find_setting(setting.name) == &setting);
  }
  CHECK(find_setting("NO_SUCH") == nullptr);
}

}  // namespace pn::node
