#include "node/settings.hpp"

#include <array>
#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace pn::node {
namespace {

using K = SettingKind;
using D = DefaultKind;

constexpr Setting text(std::string_view name,
                       D has,
                       std::string_view fallback,
                       std::string_view purpose) {
  return {.name = name, .kind = K::text, .has = has, .fallback = fallback, .purpose = purpose};
}

constexpr Setting of_kind(
    K kind, std::string_view name, D has, std::string_view fallback, std::string_view purpose) {
  return {.name = name, .kind = kind, .has = has, .fallback = fallback, .purpose = purpose};
}

constexpr Setting secret(K kind, std::string_view name, D has, std::string_view purpose) {
  return {.name = name,
          .kind = kind,
          .has = has,
          .fallback = has == D::required ? "" : "none",
          .secret = true,
          .purpose = purpose};
}

constexpr Setting whole(std::string_view name,
                        std::string_view fallback,
                        double low,
                        double high,
                        std::string_view purpose,
                        D has = D::literal) {
  return {.name = name,
          .kind = K::whole,
          .has = has,
          .fallback = fallback,
          .low = low,
          .high = high,
          .purpose = purpose};
}

constexpr Setting choice(std::string_view name,
                         std::string_view fallback,
                         std::string_view choices,
                         std::string_view purpose) {
  return {.name = name,
          .kind = K::choice,
          .fallback = fallback,
          .choices = choices,
          .purpose = purpose};
}

constexpr double kHourMs = 3'600'000;

constexpr std::array kSettings{
    // who we are, and whom we talk to
    secret(K::text, "REG_SECRET", D::required, "registration secret, from the network's console"),
    of_kind(K::path, "REG_SECRET_FILE", D::computed, "none", "a file that holds REG_SECRET"),
    secret(K::key, "SECP256K1_PRIVHEX", D::required, "the node's private key"),
    of_kind(K::path,
            "SECP256K1_PRIVHEX_FILE",
            D::computed,
            "none",
            "a file that holds SECP256K1_PRIVHEX"),
    of_kind(
        K::url, "DMS_BASE_URL", D::literal, "https://dms.auki.network/v1", "where jobs come from"),
    of_kind(
        K::url, "DDS_BASE_URL", D::literal, "https://dds.auki.network", "where the node signs in"),
    text("CLIENT_ID",
         D::computed,
         "posemesh-compute-node/<random uuid>",
         "what domain servers see as posemesh-client-id"),
    of_kind(K::version, "NODE_VERSION", D::computed, "the build's", "the version it registers"),
    // registration and tokens
    whole("REGISTER_INTERVAL_SECS", "120", 1, 86400, "pause after a refused registration"),
    whole("REGISTER_MAX_RETRY",
          "-1",
          -1,
          1'000'000,
          "quick tries before that pause; -1 = without end"),
    of_kind(K::ratio,
            "TOKEN_SAFETY_RATIO",
            D::literal,
            "0.75",
            "part of a token's life after which it is renewed"),
    whole("TOKEN_REAUTH_MAX_RETRIES", "3", 0, 1000, "more tries after a failed sign-in"),
    whole("TOKEN_REAUTH_JITTER_MS", "500", 0, 600'000, "random pause around a sign-in"),
    // polling, leases, heartbeats
    whole("MAX_CONCURRENCY", "1", 1, 256, "tasks at a time"),
    of_kind(K::caps,
            "CAPABILITY_CONCURRENCY",
            D::computed,
            "none",
            "most tasks at a time of a capability, such as /spatial/sfm/v1=1"),
    whole("POLL_BACKOFF_MS_MIN", "1000", 1, kHourMs, "shortest pause between polls without work"),
    whole("POLL_BACKOFF_MS_MAX", "30000", 1, kHourMs, "longest pause between polls without work"),
    whole("LONG_POLL_SECS", "30", 0, 300, "how long a server may hold a poll; 0 = off"),
    of_kind(K::ratio,
            "HEARTBEAT_MIN_RATIO",
            D::literal,
            "0.25",
            "earliest heartbeat, as a part of the lease time left"),
    of_kind(K::ratio,
            "HEARTBEAT_MAX_RATIO",
            D::literal,
            "0.35",
            "latest heartbeat, as a part of the lease time left"),
    whole("HEARTBEAT_JITTER_MS", "250", 0, 60'000, "how long progress is gathered for one beat"),
    whole("HEARTBEAT_TIMEOUT_MS",
          "min(lease time x 0.1, 10 s)",
          10,
          600'000,
          "time-out of one heartbeat",
          D::computed),
    whole("LEASE_FENCE_MARGIN_MS",
          "max(lease time x 0.15, 1 s)",
          0,
          kHourMs,
          "the runner is stopped this long before the lease ends",
          D::computed),
    whole("STALL_TIMEOUT_SECS",
          "0",
          0,
          604'800,
          "a runner without progress this long is stopped; 0 = never"),
    whole("BREAKER_FAILURES",
          "5",
          0,
          1000,
          "quick failures in a row that pause a capability; 0 = never"),
    whole("BREAKER_WINDOW_SECS", "60", 1, 86400, "what is quick, and how long the first pause is"),
    // folders and stopping
    of_kind(K::path,
            "STATE_DIR",
            D::computed,
            "/var/lib/posenode, or $XDG_STATE_HOME/posenode for a user",
            "what must survive a restart; one node each"),
    of_kind(K::path, "WORK_DIR", D::computed, "$STATE_DIR/work", "workspaces of tasks"),
    whole("WORKSPACE_KEEP_FAILED_HOURS", "24", 0, 87'600, "how long failed workspaces are kept"),
    whole("OUTBOX_MAX_AGE_HOURS",
          "168",
          1,
          87'600,
          "an outcome that nobody took for so long is set aside, and kept"),
    whole("DISK_MIN_FREE_MB", "2048", 0, 1e9, "no lease with less free space than this"),
    whole("DISK_MAX_USED_PCT", "90", 1, 100, "no lease with more of the disk used than this"),
    whole("INODE_MAX_USED_PCT", "80", 1, 100, "no lease with more of the inodes used than this"),
    whole("CACHE_MAX_GB", "20", 0, 1e6, "inputs kept for other tasks; 0 = none"),
    whole(
        "TASK_MAX_DISK_MB", "0", 0, 1e9, "a task whose folder grows above it is failed; 0 = never"),
    whole("DRAIN_TIMEOUT_SECS", "0", 0, 604'800, "longest drain after a stop signal; 0 = any"),
    whole("CANCEL_GRACE_SECS", "30", 0, 3600, "from SIGTERM to SIGKILL of a runner's processes"),
    // network
    whole("REQUEST_TIMEOUT_SECS", "60", 1, 3600, "time-out of a request to DDS and DMS"),
    whole("TRANSFER_LOW_SPEED_BYTES",
          "1024",
          0,
          1e9,
          "a transfer slower than this per second is stalled; 0 = never"),
    whole("TRANSFER_LOW_SPEED_SECS", "30", 1, 3600, "a transfer stalled this long is aborted"),
    whole("DOWNLOAD_PARALLEL", "4", 1, 64, "inputs of a task that are fetched at a time"),
    whole("UPLOAD_PARALLEL",
          "min(cores, 8)",
          1,
          64,
          "parts of an artifact that are sent at a time",
          D::computed),
    whole("UPLOAD_PART_RETRIES", "10", 0, 1000, "more tries of a part that could not be sent"),
    of_kind(K::flag,
            "ALLOW_PLAIN_HTTP",
            D::literal,
            "false",
            "http:// to other hosts than this one (a private network)"),
    of_kind(K::path, "EXTRA_CA_FILE", D::computed, "none", "PEM, added to the system's CAs"),
    secret(K::text, "HTTPS_PROXY", D::computed, "proxy for https URLs (or https_proxy)"),
    secret(K::text, "HTTP_PROXY", D::computed, "proxy for http URLs (or http_proxy)"),
    text("NO_PROXY",
         D::computed,
         "none",
         "hosts, suffixes, networks, each also with a port, that are asked directly (or no_proxy)"),
    of_kind(K::address,
            "STATUS_ADDR",
            D::literal,
            "127.0.0.1:9464",
            "where the node's status page, /metrics, /livez and /readyz are served"),
    // logs
    choice("LOG_FORMAT", "json", "json|text", "one JSON object or one text line an event"),
    choice("LOG_LEVEL", "info", "debug|info|warn|error", "the least that is written"),
    // runners
    of_kind(
        K::flag, "ENABLE_NOOP", D::literal, "false", "offer /noop/v1, which only goes through it"),
    of_kind(K::capabilities,
            "NOOP_CAPABILITIES",
            D::computed,
            "none",
            "more names that noop stands in for, with ENABLE_NOOP"),
    Setting{.name = "NOOP_SLEEP_SECS",
            .kind = K::decimal,
            .fallback = "5",
            .low = 0,
            .high = 86400,
            .purpose = "how long noop takes"},
    text("SFM_COLMAP", D::literal, "colmap", "the COLMAP program: a name in PATH or a path"),
    whole("SFM_THREADS", "all cores", 1, 1024, "threads of COLMAP", D::computed),
};

std::string number(double value) { return std::to_string(std::llround(value)); }

}  // namespace

std::span<const Setting> settings() { return kSettings; }

const Setting* find_setting(std::string_view name) {
  for (const Setting& setting : kSettings) {
    if (setting.name == name) return &setting;
  }
  return nullptr;
}

std::string allowed(const Setting& setting) {
  switch (setting.kind) {
    case K::text:
      return "any text";
    case K::whole:
      return "a whole number from " + number(setting.low) + " to " + number(setting.high);
    case K::decimal:
      return "a number from " + number(setting.low) + " to " + number(setting.high);
    case K::ratio:
      return "a number above 0 and below 1";
    case K::flag:
      return "true or false";
    case K::choice: {
      std::string out(setting.choices);
      for (std::size_t at = out.find('|'); at != std::string::npos; at = out.find('|', at)) {
        out.replace(at, 1, " or ");
      }
      return out;
    }
    case K::url:
      return "an absolute http or https URL without user and fragment";
    case K::address:
      return "host:port, such as 127.0.0.1:9464";
    case K::path:
      return "a path";
    case K::version:
      return "a semantic version such as 1.2.3";
    case K::key:
      return "32 bytes in hex, with or without 0x, that are a secp256k1 private key";
    case K::capabilities:
      return "capability names such as /spatial/sfm/v1, separated by commas";
    case K::caps:
      return "capabilities with a number from 1 to 256, such as /a/v1=1,/b/v1=2";
  }
  return "";
}

}  // namespace pn::node
