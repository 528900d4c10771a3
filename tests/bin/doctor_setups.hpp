#pragma once

#include "tests/bin/doctor_support.hpp"
#include "tests/support/fake_marketplace.hpp"
#include "tests/support/temp_folder.hpp"

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace pn::testing {

using Settings = std::map<std::string, std::string>;

// What a doctor is told and must not print.
inline constexpr const char* kKey =
    "4c0883a69102937d6231471b5dbb6204fe5129617082798ce3f4fdf2548b6f90";
inline constexpr const char* kRegSecret = "reg-s3cret-value";
inline constexpr const char* kProxyPassword = "pr0xy-pa55word";
inline constexpr const char* kAppSecret = "app-s3cret-value";

/// One set-up: what is running, and the settings of a doctor in it.
struct World {
  TempFolder folder;
  std::vector<std::unique_ptr<Services>> services;
  std::vector<std::unique_ptr<Peer>> peers;
  Settings settings;

  World() {
    settings = {{"PATH", "/usr/bin:/bin"},
                {"ENABLE_NOOP", "true"},
                {"SFM_COLMAP", "/nonexistent/colmap"},
                {"REG_SECRET", kRegSecret},
                {"SECP256K1_PRIVHEX", kKey},
                {"STATUS_ADDR", "127.0.0.1:" + std::to_string(closed_port())},
                {"STATE_DIR", folder.file("state")},
                {"DISK_MIN_FREE_MB", "0"},
                {"DISK_MAX_USED_PCT", "100"},
                {"INODE_MAX_USED_PCT", "100"}};
  }
  /// Without services: an --env-file names them, and the rest of the client's.
  [[nodiscard]] Settings settings_of_a_client() const {
    Settings out = settings;
    out.erase("REG_SECRET");
    return out;
  }
  void serve(const std::function<void(FakeMarketplace&)>& script = {},
             std::chrono::seconds off = std::chrono::seconds(0)) {
    services.push_back(std::make_unique<Services>(script, off));
    settings["DDS_BASE_URL"] = services.back()->url();
    settings["DMS_BASE_URL"] = services.back()->url() + "/v1";
  }
  /// Where `serve` listens: "127.0.0.1:PORT".
  std::string peer(Peer::Serve serve) {
    peers.push_back(std::make_unique<Peer>(std::move(serve)));
    return peers.back()->at();
  }
  /// Trusts a certificate.
  void trust(const TlsIdentity& identity) {
    settings["EXTRA_CA_FILE"] = folder.write("ca.pem", identity.certificate).string();
  }
};

/// What breaks a set-up in one way, and what the doctor says of it.
struct Broken {
  const char* name;
  std::function<void(World&)> set_up;
  const char* check;
  const char* verdict;
  int code;
  const char* says;  ///< in what came back, or in a remedy
};

/// The table of them.
std::vector<Broken> set_ups();

}  // namespace pn::testing
